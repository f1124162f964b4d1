"""The roster: every client of the benchmark, in the order of the table."""

from benchmarks.peers import (
    aiohttp_loop,
    aiperf,
    guidellm,
    httpx_loop,
    k6,
    locust,
    ours,
    receiver,
    vllm_bench,
    vllm_rs,
)
from benchmarks.peers.peer import Peer

PEERS: tuple[Peer, ...] = (
    ours.PEER,
    vllm_rs.PEER,
    receiver.PEER,
    vllm_bench.PEER,
    aiohttp_loop.PEER,
    httpx_loop.PEER,
    locust.PEER,
    k6.PEER,
    aiperf.PEER,
    guidellm.PEER,
)
