"""The results of a benchmark as a Markdown table."""

from __future__ import annotations

import os
import pathlib
import platform
import statistics

from tools.benchmark.contestants import Contestant, Settings


def header(kind: str, settings: Settings, rounds: int, results: dict[str, dict]) -> dict[str, str]:
    """Machine, versions and settings as text, by name."""
    versions: dict[str, str] = {}
    for result in results.values():
        versions.update(result.get("versions", {}))
    return {
        "measured": kind,
        "processor": _processor(),
        "cores": f"{len(settings.cores)} of {os.cpu_count()}, the same for all",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "versions": ", ".join(f"{name} {versions[name]}" for name in sorted(versions)),
        "network": f"{settings.variant}, batches of {settings.batch_size}",
        "rounds": f"{rounds} interleaved, {settings.steps} steps each, after a warm-up of as many",
    }


def _processor() -> str:
    """Name of the processor, and its vector instructions that matter for convolutions."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    found = dict(line.split(":", 1) for line in lines if ":" in line)
    found = {name.strip(): value.strip() for name, value in found.items()}
    flags = set(found.get("flags", "").split())
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")
    has = [flag for flag in wanted if flag in flags]
    return f"{found.get('model name', platform.machine())} ({', '.join(has) or 'no AVX2'})"


def table(
    contestants: dict[str, Contestant], results: dict[str, dict], gemm: dict[str, float]
) -> list[str]:
    """One row for each contestant. Ratios are medians over rounds, of turns in the same round.

    Args:
        contestants: by name.
        results: by name, as `rounds.take_rounds` returns them.
        gemm: gigaflop per second of matrix products, by precision.
    """
    rows = [
        "| | units/s, median (range) | ours, times as fast (range) | GFLOP/s "
        "| of matrix products' | memory, GB |",
        "|---|---|---|---|---|---|",
    ]
    for name, contestant in contestants.items():
        result = results[name]
        if "missing" in result:
            rows.append(f"| {name}: {contestant.about} | not measured: {result['missing']} ||||| ")
            continue
        rates = result["rates"]
        speed = contestant.gigaflop * statistics.median(rates)
        share = speed / gemm[contestant.precision] if contestant.precision in gemm else 0
        ratio = ""
        if contestant.against:
            ours = results[contestant.against]["rates"]
            ratios = [one / other for one, other in zip(ours, rates, strict=True)]
            ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        rows.append(
            f"| {name}: {contestant.about} | {statistics.median(rates):,.1f} "
            f"({min(rates):,.1f} to {max(rates):,.1f}) | {ratio} "
            f"| {f'{speed:,.0f}' if speed else ''} | {f'{share:.0%}' if share else ''} "
            f"| {result['memory']:.2f} |"
        )
    return rows
