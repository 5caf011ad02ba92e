/* A libnvidia-ml.so.1 without a GPU. What it answers stands in the machine file STATE, one fact a line:
 *
 *   driver 590.48.01          a fact of the host: driver, cuda, count, init
 *   gpu0 PowerUsage 627400    what nvmlDeviceGetPowerUsage gives for GPU 0: numbers or text
 *   gpu* ClockInfo.1 1980     the same for every GPU that has no line of its own; .1 is the argument of the call
 *   gpu0 Field.140.3 77       nvmlDeviceGetFieldValues: field 140, scope 3
 *   gpu0/1 MemoryInfo ...     the MIG device 1 of GPU 0
 *   gpu0 PowerUsage !3        the call fails with this code
 *   gpu0 PowerUsage ~627400   the last number is another at every sweep: it swings by up to 7
 *   gpu0 * !15                every call on GPU 0 does (15: lost)
 *   init !9                   nvmlInit fails; count !1 likewise
 *   hang 1                    calls on a device do not return while this stands there
 *   event.1 0 8 79            the first event: on GPU 0, of type 8 (XID), data 79; a set gives those that came after it
 *
 * A line overrules an earlier one. A call without a line is not supported (3), as on a real GPU that lacks it. The file
 * is looked at when NVML is begun, when GPUs are counted, which is once a sweep, and while a call waits: a lookup in
 * between costs some tens of nanoseconds, so that what is measured on top of it is the program under test. For the same
 * reason it is small in memory, and sleeps until the file changes where a driver sleeps until something happens.
 */
#define _GNU_SOURCE
#include <libgen.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef unsigned int uint;
typedef unsigned long long ull;
typedef long long sll;

enum { NUMBERS = 16, SLOTS = 1 << 13, HOST = -1, ANY = -2, GPUS = 16 };
enum { OK = 0, INVALID = 2, UNSUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, TIMED_OUT = 10, WRONG_VERSION = 25 };

struct fact { int scope, code, count, moves; uint name, a, b; double number[NUMBERS]; char text[96]; };

static struct fact *facts;      /* as they came, one after the other; */
static uint places[SLOTS];      /* and by their hash: 1 for the first, 0 for none */
static uint known, room, sweep;
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static struct stat seen;

static uint hash_of(const char *text) {
    uint hash = 2166136261u;
    while (*text) hash = (hash ^ (unsigned char)*text++) * 16777619u;
    return hash;
}

/* Where the number of a fact stands, or would. */
static uint *place_of(int scope, uint name, uint a, uint b) {
    uint at = (name ^ (uint)scope * 2654435761u ^ a * 40503u ^ b * 2246822519u) % SLOTS;
    for (; places[at]; at = (at + 1) % SLOTS) {
        struct fact *here = &facts[places[at] - 1];
        if (here->name == name && here->scope == scope && here->a == a && here->b == b) break;
    }
    return &places[at];
}

/* Room for a fact: that of the one which it overrules, or a new one. */
static struct fact *place_for(int scope, uint name, uint a, uint b) {
    uint *place = place_of(scope, name, a, b);
    if (!*place) {
        if (known == SLOTS / 2) abort();
        if (known == room) facts = realloc(facts, (room = 2 * room + 64) * sizeof *facts);
        *place = ++known;
    }
    facts[*place - 1] = (struct fact){.scope = scope, .name = name, .a = a, .b = b};
    return &facts[*place - 1];
}

static int scope_of(const char *word) {
    int gpu, mig;
    if (!strcmp(word, "gpu*")) return ANY;
    if (sscanf(word, "gpu%d/%d", &gpu, &mig) == 2) return GPUS + gpu * 16 + mig;
    if (sscanf(word, "gpu%d", &gpu) == 1) return gpu;
    return HOST;
}

static void take(char *line) {
    char *rest = NULL, *word = strtok_r(line, " ", &rest);
    if (!word || *word == '#') return;
    int scope = scope_of(word);
    if (scope != HOST && !(word = strtok_r(NULL, " ", &rest))) return;
    char *a = strchr(word, '.'), *b = a ? strchr(a + 1, '.') : NULL;
    if (a) *a++ = 0;
    if (b) *b++ = 0;
    uint first = a ? (uint)strtoul(a, NULL, 10) : 0, second = b ? (uint)strtoul(b, NULL, 10) : 0;
    struct fact *fact = place_for(scope, hash_of(word), first, second);
    while (*rest == ' ') rest++;
    if (*rest == '~') fact->moves = 1, rest++;
    if (*rest == '!') fact->code = atoi(rest + 1);
    snprintf(fact->text, sizeof fact->text, "%s", rest);
    for (char *end; fact->count < NUMBERS; rest = end, fact->count++) {
        fact->number[fact->count] = strtod(rest, &end);
        if (end == rest) break;
    }
}

static void look(void) { /* with the guard held */
    struct stat now;
    if (stat(STATE, &now) || (facts && now.st_ino == seen.st_ino && now.st_mtim.tv_nsec == seen.st_mtim.tv_nsec)) return;
    seen = now;
    memset(places, 0, sizeof places);
    known = 0;
    char line[512];
    FILE *file = fopen(STATE, "r");
    while (file && fgets(line, sizeof line, file)) line[strcspn(line, "\n")] = 0, take(line);
    if (file) fclose(file);
}

static void refresh(void) {
    pthread_mutex_lock(&guard);
    look();
    pthread_mutex_unlock(&guard);
}

static int find(int scope, const char *name, uint a, uint b, struct fact *out) {
    uint hash = hash_of(name);
    pthread_mutex_lock(&guard);
    if (!facts) look();
    uint found = *place_of(scope, hash, a, b);
    if (!found && scope >= 0 && scope < GPUS) found = *place_of(ANY, hash, a, b);
    if (found) *out = facts[found - 1];
    if (found && out->moves && out->count) out->number[out->count - 1] += sweep % 8;
    pthread_mutex_unlock(&guard);
    return found != 0;
}

/* Handles are the addresses of these. */
static char devices[GPUS * 17];
static int scope_at(void *device) { return (int)((char *)device - devices); }

static int ask(void *device, const char *name, uint a, uint b, struct fact *out) {
    int scope = scope_at(device);
    while (find(HOST, "hang", 0, 0, out) && out->number[0] != 0) usleep(2000), refresh();
    if (find(scope < GPUS ? scope : (scope - GPUS) / 16, "*", 0, 0, out)) return out->code;
    if (!find(scope, name, a, b, out)) return UNSUPPORTED;
    return out->code;
}

static int words(void *device, const char *name, char *out, uint size) {
    struct fact fact;
    int code = ask(device, name, 0, 0, &fact);
    if (!code) snprintf(out, size, "%s", fact.text);
    return code;
}

#define ONE(function, name, type)                                                    \
    int function(void *device, type *out) {                                          \
        struct fact fact;                                                            \
        int code = ask(device, name, 0, 0, &fact);                                   \
        if (!code) *out = (type)fact.number[0];                                      \
        return code;                                                                 \
    }
#define TWO(function, name)                                                          \
    int function(void *device, uint *first, uint *second) {                          \
        struct fact fact;                                                            \
        int code = ask(device, name, 0, 0, &fact);                                   \
        if (!code) *first = (uint)fact.number[0], *second = (uint)fact.number[1];    \
        return code;                                                                 \
    }
#define OF(function, name, type)                                                     \
    int function(void *device, uint argument, type *out) {                           \
        struct fact fact;                                                            \
        int code = ask(device, name, argument, 0, &fact);                            \
        if (!code) *out = (type)fact.number[0];                                      \
        return code;                                                                 \
    }
#define TEXT(function, name) \
    int function(void *device, char *out, uint size) { return words(device, name, out, size); }

/* --- the host */

int nvmlInitWithFlags(uint flags) {
    struct fact fact;
    (void)flags;
    refresh();
    return find(HOST, "init", 0, 0, &fact) ? fact.code : OK;
}
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { (void)code; return "an error of the stand-in"; }

int nvmlDeviceGetCount_v2(uint *count) {
    struct fact fact;
    refresh();
    sweep++;
    if (!find(HOST, "count", 0, 0, &fact)) return *count = 1, OK;
    return *count = (uint)fact.number[0], fact.code;
}
int nvmlSystemGetDriverVersion(char *out, uint size) {
    struct fact fact;
    snprintf(out, size, "%s", find(HOST, "driver", 0, 0, &fact) ? fact.text : "unknown");
    return OK;
}
int nvmlSystemGetNVMLVersion(char *out, uint size) { return nvmlSystemGetDriverVersion(out, size); }
int nvmlSystemGetCudaDriverVersion_v2(int *version) {
    struct fact fact;
    *version = find(HOST, "cuda", 0, 0, &fact) ? (int)fact.number[0] : 0;
    return OK;
}
int nvmlSystemGetCudaDriverVersion(int *version) { return nvmlSystemGetCudaDriverVersion_v2(version); }

/* --- what a GPU is */

int nvmlDeviceGetHandleByIndex_v2(uint i, void **out) { return *out = &devices[i], i < GPUS ? OK : INVALID; }
int nvmlDeviceGetIndex(void *device, uint *out) { return *out = (uint)scope_at(device), OK; }
TEXT(nvmlDeviceGetName, "Name")
TEXT(nvmlDeviceGetUUID, "UUID")
TEXT(nvmlDeviceGetSerial, "Serial")
TEXT(nvmlDeviceGetVbiosVersion, "VbiosVersion")
TWO(nvmlDeviceGetCudaComputeCapability, "CudaComputeCapability")
ONE(nvmlDeviceGetComputeMode, "ComputeMode", uint)
ONE(nvmlDeviceGetPersistenceMode, "PersistenceMode", uint)
ONE(nvmlDeviceGetAccountingMode, "AccountingMode", uint)
ONE(nvmlDeviceGetDisplayMode, "DisplayMode", uint)
ONE(nvmlDeviceGetDisplayActive, "DisplayActive", uint)
TWO(nvmlDeviceGetEccMode, "EccMode")
TWO(nvmlDeviceGetMigMode, "MigMode")
TWO(nvmlDeviceGetGspFirmwareMode, "GspFirmwareMode")
ONE(nvmlDeviceGetC2cModeInfoV, "C2cModeInfo", uint)

struct pci { char legacy[16]; uint domain, bus, device, id, subsystem; char bus_id[32]; };
int nvmlDeviceGetPciInfo_v3(void *device, struct pci *out) {
    memset(out, 0, sizeof *out);
    int code = words(device, "PciInfo", out->bus_id, sizeof out->bus_id);
    if (!code) sscanf(out->bus_id, "%x:%x:%x", &out->domain, &out->bus, &out->device);
    return code;
}

/* --- what it does */

static TWO(utilization, "UtilizationRates")
int nvmlDeviceGetUtilizationRates(void *device, uint out[2]) { return utilization(device, out, out + 1); }
TWO(nvmlDeviceGetEncoderUtilization, "EncoderUtilization")
TWO(nvmlDeviceGetDecoderUtilization, "DecoderUtilization")
TWO(nvmlDeviceGetJpgUtilization, "JpgUtilization")
TWO(nvmlDeviceGetOfaUtilization, "OfaUtilization")
int nvmlDeviceGetEncoderStats(void *device, uint *sessions, uint *fps, uint *latency) {
    struct fact fact;
    int code = ask(device, "EncoderStats", 0, 0, &fact);
    if (!code) *sessions = (uint)fact.number[0], *fps = (uint)fact.number[1], *latency = (uint)fact.number[2];
    return code;
}

struct memory { ull total, free, used; }; /* `MemoryInfo total reserved free used` */
struct memory_2 { uint version; ull total, reserved, free, used; };
int nvmlDeviceGetMemoryInfo_v2(void *device, struct memory_2 *out) {
    struct fact fact;
    int code = ask(device, "MemoryInfo", 0, 0, &fact);
    if (out->version != 0x02000028) return WRONG_VERSION;
    if (!code) out->total = (ull)fact.number[0], out->reserved = (ull)fact.number[1];
    if (!code) out->free = (ull)fact.number[2], out->used = (ull)fact.number[3];
    return code;
}
int nvmlDeviceGetMemoryInfo(void *device, struct memory *out) {
    struct fact fact;
    int code = ask(device, "MemoryInfo", 0, 0, &fact);
    if (!code) out->total = (ull)fact.number[0], out->free = (ull)fact.number[2];
    if (!code) out->used = (ull)(fact.number[1] + fact.number[3]);
    return code;
}
int nvmlDeviceGetBAR1MemoryInfo(void *device, struct memory *out) { /* total free used */
    struct fact fact;
    int code = ask(device, "BAR1MemoryInfo", 0, 0, &fact);
    if (!code) *out = (struct memory){(ull)fact.number[0], (ull)fact.number[1], (ull)fact.number[2]};
    return code;
}
int nvmlDeviceGetConfComputeProtectedMemoryUsage(void *device, struct memory *out) {
    struct fact fact;
    int code = ask(device, "ConfComputeProtectedMemoryUsage", 0, 0, &fact);
    if (!code) *out = (struct memory){(ull)fact.number[0], (ull)fact.number[1], (ull)fact.number[2]};
    return code;
}

OF(nvmlDeviceGetTemperature, "Temperature", uint)
OF(nvmlDeviceGetTemperatureThreshold, "TemperatureThreshold", uint)
struct margin { uint version; int value; };
int nvmlDeviceGetMarginTemperature(void *device, struct margin *out) {
    struct fact fact;
    int code = ask(device, "MarginTemperature", 0, 0, &fact);
    if (!code) out->value = (int)fact.number[0];
    return code;
}
ONE(nvmlDeviceGetNumFans, "NumFans", uint)
OF(nvmlDeviceGetFanSpeed_v2, "FanSpeed", uint)
ONE(nvmlDeviceGetPowerUsage, "PowerUsage", uint)
ONE(nvmlDeviceGetEnforcedPowerLimit, "EnforcedPowerLimit", uint)
ONE(nvmlDeviceGetPowerManagementLimit, "PowerManagementLimit", uint)
ONE(nvmlDeviceGetPowerManagementDefaultLimit, "PowerManagementDefaultLimit", uint)
TWO(nvmlDeviceGetPowerManagementLimitConstraints, "PowerManagementLimitConstraints")
ONE(nvmlDeviceGetTotalEnergyConsumption, "TotalEnergyConsumption", ull)
OF(nvmlDeviceGetClockInfo, "ClockInfo", uint)
OF(nvmlDeviceGetMaxClockInfo, "MaxClockInfo", uint)
OF(nvmlDeviceGetApplicationsClock, "ApplicationsClock", uint)
OF(nvmlDeviceGetDefaultApplicationsClock, "DefaultApplicationsClock", uint)
ONE(nvmlDeviceGetPerformanceState, "PerformanceState", uint)
ONE(nvmlDeviceGetCurrentClocksThrottleReasons, "CurrentClocksThrottleReasons", ull)
struct violation { ull reference, time; };
int nvmlDeviceGetViolationStatus(void *device, uint policy, struct violation *out) {
    struct fact fact;
    int code = ask(device, "ViolationStatus", policy, 0, &fact);
    if (!code) out->time = (ull)fact.number[0];
    return code;
}

/* --- its faults */

int nvmlDeviceGetMemoryErrorCounter(void *device, uint error, uint lifetime, uint location, ull *out) {
    struct fact fact;
    int code = ask(device, "MemoryErrorCounter", error * 2 + lifetime, location, &fact);
    if (!code) *out = (ull)fact.number[0];
    return code;
}
int nvmlDeviceGetTotalEccErrors(void *device, uint error, uint lifetime, ull *out) {
    struct fact fact;
    int code = ask(device, "TotalEccErrors", error * 2 + lifetime, 0, &fact);
    if (!code) *out = (ull)fact.number[0];
    return code;
}
struct sram { uint version; ull counts[11]; uint exceeded; };
int nvmlDeviceGetSramEccErrorStatus(void *device, struct sram *out) {
    struct fact fact;
    int code = ask(device, "SramEccErrorStatus", 0, 0, &fact);
    if (out->version != 0x1000068) return WRONG_VERSION;
    for (int i = 0; !code && i < 11; i++) out->counts[i] = (ull)fact.number[i];
    if (!code) out->exceeded = (uint)fact.number[11];
    return code;
}
int nvmlDeviceGetRemappedRows(void *device, uint *correctable, uint *uncorrectable, uint *pending, uint *failure) {
    struct fact fact;
    int code = ask(device, "RemappedRows", 0, 0, &fact);
    if (!code) *correctable = (uint)fact.number[0], *uncorrectable = (uint)fact.number[1];
    if (!code) *pending = (uint)fact.number[2], *failure = (uint)fact.number[3];
    return code;
}
int nvmlDeviceGetRowRemapperHistogram(void *device, uint out[5]) {
    struct fact fact;
    int code = ask(device, "RowRemapperHistogram", 0, 0, &fact);
    for (int i = 0; !code && i < 5; i++) out[i] = (uint)fact.number[i];
    return code;
}
int nvmlDeviceGetRepairStatus(void *device, uint out[3]) {
    struct fact fact;
    int code = ask(device, "RepairStatus", 0, 0, &fact);
    if (!code) out[1] = (uint)fact.number[0], out[2] = (uint)fact.number[1];
    return code;
}

/* --- its links */

ONE(nvmlDeviceGetCurrPcieLinkGeneration, "CurrPcieLinkGeneration", uint)
ONE(nvmlDeviceGetMaxPcieLinkGeneration, "MaxPcieLinkGeneration", uint)
ONE(nvmlDeviceGetGpuMaxPcieLinkGeneration, "GpuMaxPcieLinkGeneration", uint)
ONE(nvmlDeviceGetCurrPcieLinkWidth, "CurrPcieLinkWidth", uint)
ONE(nvmlDeviceGetMaxPcieLinkWidth, "MaxPcieLinkWidth", uint)
ONE(nvmlDeviceGetPcieReplayCounter, "PcieReplayCounter", uint)
OF(nvmlDeviceGetPcieThroughput, "PcieThroughput", uint)
OF(nvmlDeviceGetNvLinkState, "NvLinkState", uint)
int nvmlDeviceGetNvLinkErrorCounter(void *device, uint link, uint counter, ull *out) {
    struct fact fact;
    int code = ask(device, "NvLinkErrorCounter", link, counter, &fact);
    if (!code) *out = (ull)fact.number[0];
    return code;
}
struct fabric { uint version; unsigned char cluster[16]; int status; uint clique; unsigned char state; uint mask; unsigned char health; };
int nvmlDeviceGetGpuFabricInfoV(void *device, struct fabric *out) { /* state clique mask health */
    struct fact fact;
    int code = ask(device, "GpuFabricInfo", 0, 0, &fact);
    if (code) return code;
    out->status = OK, out->state = (unsigned char)fact.number[0], out->clique = (uint)fact.number[1];
    out->mask = (uint)fact.number[2];
    if (out->version == 0x3000028) out->health = (unsigned char)fact.number[3];
    return OK;
}

struct field { uint id, scope; sll at, latency; int type, code; union { double d; sll sll; } value; };
int nvmlDeviceGetFieldValues(void *device, int count, struct field *fields) {
    struct fact fact;
    int code = ask(device, "FieldValues", 0, 0, &fact);
    if (code && code != UNSUPPORTED) return code;
    for (int i = 0; i < count; i++) {
        fields[i].code = ask(device, "Field", fields[i].id, fields[i].scope, &fact);
        fields[i].type = fact.number[0] < 0 ? 4 : 3; /* a signed or an unsigned 64-bit number */
        fields[i].value.sll = (sll)fact.number[0];
    }
    return OK;
}

/* --- GPM: a sample remembers its device, metrics are read from the file */

struct sample { void *device; int instance; };
struct metric { uint id; int code; double value; const char *texts[3]; };
struct metrics { uint version, count; struct sample *first, *second; struct metric metric[477]; };
struct support { uint version, supported; };
int nvmlGpmQueryDeviceSupport(void *device, struct support *out) {
    struct fact fact;
    int code = ask(device, "GpmSupport", 0, 0, &fact);
    if (!code) out->supported = (uint)fact.number[0];
    return code;
}
int nvmlGpmSampleAlloc(struct sample **out) { return *out = calloc(1, sizeof **out), OK; }
int nvmlGpmSampleFree(struct sample *sample) { return free(sample), OK; }
int nvmlGpmSampleGet(void *device, struct sample *out) {
    struct fact fact;
    *out = (struct sample){device, -1};
    return ask(device, "GpmSupport", 0, 0, &fact);
}
int nvmlGpmMigSampleGet(void *device, uint instance, struct sample *out) {
    struct fact fact;
    *out = (struct sample){device, (int)instance};
    return ask(device, "GpmSupport", 0, 0, &fact);
}
int nvmlGpmMetricsGet(struct metrics *out) {
    struct fact fact;
    if (out->version != 1) return WRONG_VERSION;
    struct sample *sample = out->second;
    if (out->first->device != sample->device || out->first->instance != sample->instance) return INVALID;
    for (uint i = 0; i < out->count; i++) {
        struct metric *metric = &out->metric[i];
        const char *name = sample->instance < 0 ? "Gpm" : "GpmMig";
        metric->code = ask(sample->device, name, metric->id, (uint)(sample->instance < 0 ? 0 : sample->instance), &fact);
        metric->value = fact.number[0];
    }
    return OK;
}

/* --- MIG: `gpu0 MigDevices n`, and the facts of each under gpu0/i */

ONE(nvmlDeviceGetMaxMigDeviceCount, "MaxMigDeviceCount", uint)
int nvmlDeviceGetMigDeviceHandleByIndex(void *device, uint index, void **out) {
    struct fact fact;
    int code = ask(device, "MigDevices", 0, 0, &fact);
    *out = &devices[GPUS + scope_at(device) * 16 + (int)index];
    return code ? code : index < fact.number[0] ? OK : NOT_FOUND;
}
ONE(nvmlDeviceGetGpuInstanceId, "GpuInstanceId", uint)
ONE(nvmlDeviceGetComputeInstanceId, "ComputeInstanceId", uint)

/* --- processes: `ComputeRunningProcesses pid bytes pid bytes ...` */

struct process { uint pid; ull bytes; uint gpu_instance, compute_instance; };
int nvmlDeviceGetComputeRunningProcesses_v3(void *device, uint *count, struct process *out) {
    struct fact fact;
    int code = ask(device, "ComputeRunningProcesses", 0, 0, &fact);
    if (code) return code == UNSUPPORTED ? (*count = 0, OK) : code;
    uint room = *count, found = (uint)fact.count / 2;
    *count = found;
    if (room < found || (found && !out)) return TOO_SMALL;
    for (uint i = 0; i < found; i++)
        out[i] = (struct process){(uint)fact.number[2 * i], (ull)fact.number[2 * i + 1], ~0u, ~0u};
    return OK;
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(void *device, uint *count, struct process *out) {
    (void)out;
    struct fact fact;
    *count = 0;
    int code = ask(device, "Name", 0, 0, &fact);
    return code == UNSUPPORTED ? OK : code;
}

/* --- events: an event set waits until the file has one that it has not given out */

struct event { void *device; ull type, data; uint gpu_instance, compute_instance; };
ONE(nvmlDeviceGetSupportedEventTypes, "SupportedEventTypes", ull)
struct set { int given, news; }; /* events given out, or that were there before it; tells that the file changes */
static int events(void) {
    struct fact fact;
    int last = 0;
    while (find(HOST, "event", (uint)last + 1, 0, &fact)) last++;
    return last;
}
int nvmlEventSetCreate(struct set **out) {
    char path[] = STATE;
    struct set *set = *out = malloc(sizeof *set);
    *set = (struct set){events(), inotify_init1(IN_NONBLOCK | IN_CLOEXEC)};
    inotify_add_watch(set->news, dirname(path), IN_MOVED_TO | IN_CLOSE_WRITE);
    return OK;
}
int nvmlEventSetFree(struct set *set) { return close(set->news), free(set), OK; }
int nvmlDeviceRegisterEvents(void *device, ull types, void *set) {
    struct fact fact;
    (void)types, (void)set;
    return ask(device, "SupportedEventTypes", 0, 0, &fact);
}
static sll now_in_milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
int nvmlEventSetWait_v2(struct set *set, struct event *out, uint milliseconds) {
    struct fact fact;
    char news[4096];
    for (sll left, ends = now_in_milliseconds() + milliseconds;;) {
        while (read(set->news, news, sizeof news) > 0) continue;
        refresh();
        if (find(HOST, "wait", 0, 0, &fact) && fact.code) return fact.code;
        int there = events();
        if (set->given > there) set->given = there;
        if (set->given < there) break;
        if ((left = ends - now_in_milliseconds()) <= 0) return TIMED_OUT;
        poll(&(struct pollfd){.fd = set->news, .events = POLLIN}, 1, (int)left);
    }
    find(HOST, "event", (uint)++set->given, 0, &fact);
    *out = (struct event){&devices[(int)fact.number[0]], (ull)fact.number[1], (ull)fact.number[2], ~0u, ~0u};
    return OK;
}
