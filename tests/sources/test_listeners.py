"""Who listens on a server's port."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from standins.proc_tree import ProcTree
from standins.vllm_processes import VllmProcesses
from vllm_vigil.sources.listeners import Address, Listeners, addresses, asked_port, listening, literal, resolve
from vllm_vigil.sources.processes import Process, Processes

LOCAL = Address(literal("127.0.0.1"), 8000)


def serve(port: int | None = None) -> list[str]:
    """A server's command line."""
    return ["python3", "/usr/bin/vllm", "serve", "a-model", *(["--port", str(port)] if port else [])]


def found(tree: ProcTree, address: Address) -> int | None:
    """The pid of the process that listens there."""
    process = Listeners(tree.root).find(address, Processes(tree.root).look())
    return process.pid if process else None


def test_the_process_that_holds_the_socket_is_found(tmp_path: Path) -> None:
    """By the socket's inode, whatever the command lines say."""
    tree = ProcTree(tmp_path)
    tree.add(50, serve(8000), inodes=(7,))
    tree.add(51, serve(9000), inodes=(8,))
    tree.listen("self", (8000, 8, 1000), (9000, 7, 1000))
    assert (found(tree, LOCAL), found(tree, Address(literal("::1"), 9000))) == (51, 50)
    assert found(tree, Address(literal("10.0.0.1"), 9000)) == 50
    assert found(tree, Address(literal("127.0.0.1"), 9100)) is None


def test_a_real_socket_is_found_on_this_machine(tmp_path: Path) -> None:
    """Through the real /proc."""
    with VllmProcesses(tmp_path) as vllm:
        address = Address(literal("localhost"), vllm.port)
        process = Listeners(Path("/proc")).find(address, Processes(Path("/proc")).look())
        assert process is not None
        assert process.pid == vllm.pid


def test_a_program_with_vllm_s_engine_in_it_is_found_too(tmp_path: Path) -> None:
    """It does not say that it is vLLM, but its child does."""
    tree = ProcTree(tmp_path)
    tree.add(50, ["python3", "my_server.py"], inodes=(7,))
    tree.add(51, ["VLLM::EngineCore"], parent=50)
    tree.listen("self", (8000, 7, 1000))
    assert found(tree, LOCAL) == 50


def test_where_open_files_are_closed_to_us_user_and_port_tell(tmp_path: Path) -> None:
    """Two servers that both fit are told apart by nothing, and so neither is named."""
    tree = ProcTree(tmp_path)
    tree.add(50, serve(), user=1000)
    tree.add(51, serve(), user=1001)
    tree.add(52, serve(9000), user=1000)
    tree.listen("self", (8000, 7, 1000))
    assert found(tree, LOCAL) == 50
    tree.add(53, serve(8000), user=1000)
    assert found(tree, LOCAL) is None


def test_that_files_are_closed_to_us_is_known() -> None:
    """So that it can be said; not even root's own tests may be root for this."""
    with tempfile.TemporaryDirectory() as directory:
        tree = ProcTree(Path(directory) / "proc")
        tree.add(50, serve())
        tree.listen("self", (8000, 7, 1000))
        table = Processes(tree.root).look()
        listeners = Listeners(tree.root)
        with closed(tree.root / "50" / "fd"):
            process = listeners.find(LOCAL, table)
        assert (process and process.pid, listeners.denied) == (50, True)


@contextlib.contextmanager
def closed(path: Path) -> Iterator[None]:
    """A directory that this user may not list: root becomes nobody for a moment."""
    path.chmod(0)
    path.parents[2].chmod(0o755)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        path.chmod(0o755)


def test_a_server_that_loads_its_model_is_known_by_the_port_it_will_have(tmp_path: Path) -> None:
    """Nobody listens yet, but a neighbour in another network namespace is not taken for it."""
    tree = ProcTree(tmp_path)
    tree.add(50, serve())
    assert found(tree, LOCAL) == 50
    tree.namespace(50, "127.0.0.1", "172.17.0.2")
    assert found(tree, LOCAL) is None


def test_a_port_that_docker_publishes_leads_into_the_container(tmp_path: Path) -> None:
    """docker-proxy says where to; two containers on one inner port are told apart by their address."""
    tree = ProcTree(tmp_path)
    proxy = ["/usr/bin/docker-proxy", "-proto", "tcp", "-host-ip", "0.0.0.0", "-host-port", "8000"]  # noqa: S104  # of a command line
    tree.add(40, [*proxy, "-container-ip", "172.17.0.3", "-container-port", "8000"], user=0, inodes=(7,))
    for pid, address in ((50, "172.17.0.2"), (51, "172.17.0.3")):
        tree.add(pid, serve(), user=0, inodes=(pid,))
        tree.namespace(pid, "127.0.0.1", address)
        tree.listen(pid, (8000, pid, 0))
    tree.listen("self", (8000, 7, 0))
    assert found(tree, LOCAL) == 51


def test_a_server_in_another_namespace_is_found_by_its_address_and_one_far_away_is_not(tmp_path: Path) -> None:
    """As beside vLLM in compose, with its PID namespace."""
    tree = ProcTree(tmp_path)
    tree.add(50, serve())
    tree.namespace(50, "127.0.0.1", "172.17.0.2")
    tree.listen(50, (8000, 9, 1000))
    assert found(tree, Address(literal("172.17.0.2"), 8000)) == 50
    assert found(tree, Address(literal("192.168.7.7"), 8000)) is None
    assert found(tree, Address(frozenset(), 8000)) is None


def test_listening_sockets_are_read_up_to_the_first_connection(tmp_path: Path) -> None:
    """A host may have a hundred thousand of those."""
    tree = ProcTree(tmp_path)
    tree.listen("self", (8000, 7, 1000), (443, 8, 0))
    assert [(each.port, each.inode, each.uid) for each in listening(tmp_path)] == [(8000, 7, 1000), (443, 8, 0)]


def test_addresses_of_both_families_are_read(tmp_path: Path) -> None:
    """The routes beside them are not."""
    tree = ProcTree(tmp_path)
    with (tmp_path / "self" / "net" / "fib_trie").open("a") as file:
        file.write("     |-- 10.0.0.255\n        /32 link BROADCAST\n")
    (tmp_path / "self" / "net" / "if_inet6").write_text("fe80000000000000000000000000000a 02 40 20 80 eth0\n")
    assert addresses(tree.root) == {ip_address("127.0.0.1"), ip_address("10.0.0.1"), ip_address("fe80::a")}


@pytest.mark.parametrize(
    ("argv", "port"),
    [
        (serve(), 8000),
        (serve(8123), 8123),
        (["vllm", "serve", "a-model", "--port=8124"], 8124),
        (["python3", "-m", "vllm.entrypoints.openai.api_server", "--port", "x"], None),
        (["vllm", "bench", "serve-me-not"], None),
        (["VLLM::APIServer_0"], None),
    ],
)
def test_the_port_stands_on_the_command_line_of_a_server(argv: list[str], port: int | None) -> None:
    """8000 unless it says another."""
    assert asked_port(Process(1, 0, 0, 0, "x", tuple(argv))) == port


def test_a_name_is_no_literal_and_an_unknown_one_has_no_address() -> None:
    """Only the resolver knows names."""
    assert (literal("vllm"), literal("localhost")) == (frozenset(), frozenset({ip_address("127.0.0.1")}))
    assert resolve("127.0.0.1") == {ip_address("127.0.0.1")}
    assert resolve("no.such.name.invalid") == frozenset()
