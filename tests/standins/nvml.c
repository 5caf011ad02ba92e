/* A libnvidia-ml.so.1 without a GPU. What it answers stands in the text file that STATE names, one `key value` a line,
 * read anew at every call, so that a test (or a person) changes the machine while the program under test runs:
 *
 *   init 0            what nvmlInit returns (9: no driver, 4: no permission)
 *   count 2           GPUs
 *   hang 1            calls on a device do not return while this stands there
 *   gpu1 15           what every call on GPU 1 returns (15: lost)
 *   gpu0.power 300000 a value of GPU 0; without the GPU's line, `power` is that of all
 *   gpu0.power! 3     what that call returns (3: not supported)
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef unsigned int uint;
typedef unsigned long long ull;

static int look_up(const char *key, long long *value) {
    char name[64];
    long long found;
    int seen = 0;
    FILE *file = fopen(STATE, "r");
    while (file && fscanf(file, "%63s %lld", name, &found) == 2)
        if (strcmp(name, key) == 0) *value = found, seen = 1;
    if (file) fclose(file);
    return seen;
}

static long long number(const char *key, long long otherwise) {
    look_up(key, &otherwise);
    return otherwise;
}

/* Handles are the addresses of these. */
static char gpus[16];
static int index_of(void *gpu) { return (int)((char *)gpu - gpus); }

static int answer(void *gpu, const char *key, long long otherwise, long long *value) {
    *value = otherwise;
    char name[64];
    while (number("hang", 0)) usleep(2000);
    snprintf(name, sizeof name, "gpu%d", index_of(gpu));
    long long code = number(name, 0);
    if (code) return (int)code;
    snprintf(name, sizeof name, "gpu%d.%s!", index_of(gpu), key);
    code = number(name, 0);
    if (code) return (int)code;
    look_up(key, value);
    snprintf(name, sizeof name, "gpu%d.%s", index_of(gpu), key);
    look_up(name, value);
    return 0;
}

#define SCALAR(function, type, key, otherwise)                        \
    int function(void *gpu, type *out) {                              \
        long long value;                                              \
        int code = answer(gpu, key, otherwise, &value);               \
        if (!code) *out = (type)value;                                \
        return code;                                                  \
    }

int nvmlInitWithFlags(uint flags) { (void)flags; return (int)number("init", 0); }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { (void)code; return "an error of the stand-in"; }
int nvmlDeviceGetCount_v2(uint *count) { *count = (uint)number("count", 1); return (int)number("count!", 0); }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = (int)number("cuda", 12080); return 0; }
int nvmlSystemGetDriverVersion(char *text, uint size) { snprintf(text, size, "570.1.standin"); return 0; }

int nvmlDeviceGetHandleByIndex_v2(uint i, void **gpu) { *gpu = &gpus[i]; return 0; }

int nvmlDeviceGetUUID(void *gpu, char *text, uint size) {
    long long value;
    int code = answer(gpu, "uuid", index_of(gpu), &value);
    snprintf(text, size, "GPU-standin-%lld", value);
    return code;
}

int nvmlDeviceGetName(void *gpu, char *text, uint size) {
    long long value;
    snprintf(text, size, "NVIDIA Stand-in");
    return answer(gpu, "name", 0, &value);
}

struct pci { char legacy[16]; uint domain, bus, device, id, subsystem; char bus_id[32]; };
int nvmlDeviceGetPciInfo_v3(void *gpu, struct pci *out) {
    long long value;
    memset(out, 0, sizeof *out);
    snprintf(out->bus_id, sizeof out->bus_id, "00000000:%02X:00.0", index_of(gpu) + 1);
    return answer(gpu, "pci", 0, &value);
}

struct rates { uint gpu, memory; };
int nvmlDeviceGetUtilizationRates(void *gpu, struct rates *out) {
    long long busy, memory;
    int code = answer(gpu, "utilization", 40, &busy);
    if (!code) code = answer(gpu, "memory_utilization", 20, &memory);
    if (!code) out->gpu = (uint)busy, out->memory = (uint)memory;
    return code;
}

struct memory { uint version; ull total, reserved, free, used; };
int nvmlDeviceGetMemoryInfo_v2(void *gpu, struct memory *out) {
    long long used;
    int code = answer(gpu, "memory_used", 30LL << 30, &used);
    if (out->version != 0x02000028) return 25;
    out->total = 80ULL << 30, out->reserved = 1ULL << 30, out->used = (ull)used;
    out->free = out->total - out->reserved - out->used;
    return code;
}

int nvmlDeviceGetTemperature(void *gpu, int sensor, uint *out) {
    long long value;
    int code = answer(gpu, "temperature", 55, &value);
    *out = (uint)value;
    return sensor == 0 ? code : 2;
}

struct field { uint id, scope; long long at, latency; int type, code; union { double d; uint ui; ull ull; } value; };
int nvmlDeviceGetFieldValues(void *gpu, int count, struct field *fields) {
    long long value = 0;
    for (int i = 0; i < count; i++) {
        fields[i].code = fields[i].id == 82 ? answer(gpu, "memory_temperature", 70, &value) : 3;
        fields[i].value.ui = (uint)value;
    }
    return 0;
}

int nvmlDeviceGetClockInfo(void *gpu, int clock, uint *out) {
    static const char *keys[] = {"clock_graphics", "clock_sm", "clock_memory", "clock_video"};
    long long value;
    int code = answer(gpu, keys[clock & 3], 1000 + 100 * clock, &value);
    *out = (uint)value;
    return code;
}

SCALAR(nvmlDeviceGetPowerUsage, uint, "power", 300500)
SCALAR(nvmlDeviceGetEnforcedPowerLimit, uint, "power_limit", 700000)
SCALAR(nvmlDeviceGetTotalEnergyConsumption, ull, "energy", 5000250)
SCALAR(nvmlDeviceGetCurrentClocksThrottleReasons, ull, "throttle", 1)
SCALAR(nvmlDeviceGetCurrPcieLinkGeneration, uint, "pcie_generation", 4)
SCALAR(nvmlDeviceGetMaxPcieLinkGeneration, uint, "pcie_generation_max", 5)
SCALAR(nvmlDeviceGetCurrPcieLinkWidth, uint, "pcie_width", 16)
SCALAR(nvmlDeviceGetMaxPcieLinkWidth, uint, "pcie_width_max", 16)
SCALAR(nvmlDeviceGetPcieReplayCounter, uint, "pcie_replays", 0)
