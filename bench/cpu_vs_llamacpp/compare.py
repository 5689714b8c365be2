#!/usr/bin/env python3
"""Measures atom beside llama.cpp on this machine's CPU, on the same random weights of Qwen3-0.6B's shape.

Runs alternate, so that both meet the same minutes; a run that others disturbed is repeated. The table gives medians, the ratio of
medians with the spread over the rounds, and the share of what this machine can do at best, measured in the same rounds.

  compare.py --llama-source llama_cpp_python-0.3.36.tar.gz --work DIR       builds llama.cpp first (also from a llama.cpp tree)
  compare.py --llama-bin DIR --llama-avx2-bin DIR --work DIR                takes it as it is
"""
import argparse
import json
import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True  # a checkout stays clean
from common import Problem, note  # noqa: E402

try:
    import weights
    from atom import Atom
except ModuleNotFoundError as missing:
    sys.exit(f"compare.py: {missing.name} is not installed; apt-get install python3-numpy")
import llamacpp  # noqa: E402
import machine  # noqa: E402
import plot  # noqa: E402

GROUPS = {"prefill": "512 tokens of prompt", "decode": "64 tokens one by one", "batch": "32 sequences",
          "first": "process start to first token", "avx2": "prefill and decode with AVX2 alone"}
PRECISIONS = {"bf16": ("none", "bf16"), "int8": ("int8", "q8_0")}  # atom's --quant, llama.cpp's file
PROMPT = "".join(str(i * i // 7 % 10) for i in range(128))  # each digit is a token of both
TOLERANCE = {"bf16": 0.05, "q8_0": 0.25, "int8": 0.25}  # of log-probabilities; random weights make all of them small


@dataclass
class Row:
    """One line of the table: a value of each measurement of a case."""
    label: str
    bar: float | None = None  # the ratio to hold
    ceiling: Callable | None = None  # (rate, ceilings, is_atom) -> share of the ceiling, or None


@dataclass
class Case:
    group: str
    precision: str
    threads: int
    rows: list
    atom: Callable  # () -> values, one per row
    rival: Callable  # (flash attention on) -> the same
    unit: str = "tokens/s"
    attention: tuple = (False, True)  # what to try on the rival's side; the better one is kept
    samples: list = None  # [(atom's Sample, the rival's)] per round

    def better(self, a, b):
        return a < b if self.unit == "s" else a > b

    def ratio(self, mine, theirs):
        return theirs / mine if self.unit == "s" else mine / theirs


def of_peak(flops_per_token, precision, isa):
    """Share of the arithmetic peak; the unit that suits the weights, of those that the level has."""
    units = {"avx2": {"bf16": ["fma256"], "int8": []}}.get(
        isa, {"bf16": ["amx_bf16", "bf16_dot", "fma512", "fma256"], "int8": ["amx_int8", "int8_dot"]})[precision]

    def share(rate, ceilings, is_atom):
        peak = max((ceilings["gflops"].get(u, 0) for u in units), default=0)
        return rate * flops_per_token * 1e-9 / peak if peak else None
    return share


def of_bandwidth(mine, theirs):
    return lambda rate, ceilings, is_atom: rate * (mine if is_atom else theirs) * 1e-9 / ceilings["read_gb_per_second"]


def plan(o, files, atom, native, avx2):
    """The cases, in the order of the table."""
    tokens, written, repeat = (128, 8, 1) if o.quick else (512, 64, 1 if o.short else 2)
    sequences, asked, answer = (8, 128, 8) if o.quick else (32, 64, 32) if o.short else (32, 128, 64)
    depths = (0, 1024) if not o.quick else (0,)
    most = max(o.threads)  # of the cases that have one number of threads
    cases = []

    def step(quant, rows, context):
        """atom's step, and the bytes that llama.cpp moves for the same: Q8_0 takes 8.5 bits for each weight, BF16 takes 16."""
        mine, plain = atom.step(quant, rows, context), atom.step("none", rows, context)
        shrunk = plain["matrix_bytes"] * (1 - 8.5 / 16) if quant == "int8" else 0
        return mine, plain["bytes"] - shrunk

    def rates(group, rival, isa, precision, n, depth, bars):
        quant, file = PRECISIONS[precision]
        suffix = f" at {depth}" if depth else ""
        if "prefill" in bars:
            flops = step(quant, tokens, depth)[0]["flops"] / tokens
            row = Row(f"prefill {tokens}{suffix}", bars["prefill"], of_peak(flops, precision, isa))
            cases.append(Case(group, precision, n, [row],
                              lambda: atom.rate(quant, tokens, 0, depth, n, repeat, isa),
                              lambda fa: rival.rate(files[file], tokens, 0, depth, n, repeat, fa)))
        if "decode" in bars:
            mine, theirs = step(quant, 1, depth + written // 2)
            row = Row(f"decode {written}{suffix}", bars["decode"], of_bandwidth(mine["bytes"], theirs))
            cases.append(Case(group, precision, n, [row],
                              lambda: atom.rate(quant, 0, written, depth, n, repeat, isa),
                              lambda fa: rival.rate(files[file], 0, written, depth, n, repeat, fa)))

    bars = {("prefill", "bf16", 0): 7, ("prefill", "int8", 0): 3, ("prefill", "bf16", 1024): 4, ("prefill", "int8", 1024): 4,
            ("decode", "bf16", 0): 1.4, ("decode", "int8", 0): 1.12, ("decode", "bf16", 1024): 1.35, ("decode", "int8", 1024): 1.35}
    for group in ("prefill", "decode"):
        for precision in PRECISIONS if group in o.only else ():
            for depth in depths:
                for n in o.threads:
                    rates(group, native, None, precision, n, depth, {group: bars[group, precision, depth]})
    for precision, bar in (("bf16", 4), ("int8", 2)) if "batch" in o.only else ():
        quant, file = PRECISIONS[precision]
        cases.append(Case("batch", precision, most,
                          [Row(f"{sequences} sequences, {asked} in, {answer} out"),
                           Row(f"{sequences} sequences, decode steps", bar)],
                          lambda quant=quant: atom.many(quant, sequences, asked, answer, most, None),
                          lambda fa, file=file: native.many(files[file], sequences, asked, answer, most, fa)))
    for precision in PRECISIONS if "first" in o.only else ():
        quant, file = PRECISIONS[precision]
        cases.append(Case("first", precision, most, [Row("start to first token, 128 in", 1)],
                          lambda quant=quant: atom.first_token(quant, PROMPT, most, None),
                          lambda fa, file=file: native.first_token(files[file], PROMPT, most), "s", (True,)))
    for precision in PRECISIONS if avx2 else ():
        rates("avx2", avx2, "avx2", precision, most, 0, {"prefill": 1, "decode": 1})
    return cases


def check_equal(files, atom, native, threads):
    """That both compute the same: the ten likeliest next tokens after 32 random ones. -> largest differences of log-probability."""
    ids = [(i * 7919 + 13) % 150000 for i in range(32)]
    mine = {quant: atom.next_token(quant, ids) for quant in ("none", "int8")}
    found = {}
    for precision, file in (("bf16", "bf16"), ("int8", "q8_0")):
        theirs = native.next_token(files[file], ids, threads, 10)
        differences = {t: abs(float(mine["none"][t]) - p) for t, p in theirs.items()}
        found[file] = max(differences.values())
        best = int(mine["none"].argmax())
        lag = max(theirs.values()) - theirs.get(best, -float("inf"))  # 0: the same likeliest token; a near tie may swap
        if found[file] > TOLERANCE[file] or lag > TOLERANCE[file]:
            raise Problem(f"atom and llama.cpp ({file}) disagree on the next token: log-probabilities differ by {found[file]:.3f}, "
                          f"atom's choice lies {lag:.3f} behind; nothing was measured. Check both builds, and --fresh the weights")
    likely = mine["none"].argsort()[-10:]
    found["int8"] = float(abs(mine["int8"][likely] - mine["none"][likely]).max())
    if found["int8"] > TOLERANCE["int8"]:
        raise Problem(f"atom's int8 differs from its bf16 by {found['int8']:.3f} in log-probability; nothing was measured")
    if not atom.prompt_tokens(PROMPT) == native.prompt_tokens(files["bf16"], PROMPT) == len(PROMPT):
        raise Problem("the prompt has another number of tokens in llama.cpp than in atom; nothing was measured")
    return found


def measure(cases, o):
    """Fills the cases' samples; -> the ceilings of each round, per number of threads. Every case has at least one sample."""
    ceilings = {n: [] for n in {c.threads for c in cases}}
    end = time.monotonic() + 60 * o.minutes if o.minutes else float("inf")
    for case in cases:
        case.samples = []
    for number in range(o.rounds):
        if number and time.monotonic() > end:
            break
        for n, all_of_n in ceilings.items():
            all_of_n.append(machine.quietest(lambda: machine.ceilings(o.atom, n), o.disturbed, o.repeats).values)
        for case in cases:
            if number and time.monotonic() > end:
                break
            name = f"{case.precision}, {case.threads} thread{'s' * (case.threads > 1)}, {case.rows[-1].label}"
            note(f"round {number + 1} of {o.rounds}: {name}")

            def mine():
                return machine.quietest(case.atom, o.disturbed, o.repeats)

            def theirs():
                tried = {a: machine.quietest(lambda: case.rival(a), o.disturbed, o.repeats) for a in case.attention}
                best = next(iter(tried))
                for a in tried:
                    best = a if case.better(tried[a].values[-1], tried[best].values[-1]) else best
                case.attention = (best,)
                return tried[best]

            if number % 2:
                rival, own = theirs(), mine()
            else:
                own, rival = mine(), theirs()
            case.samples.append((own, rival))
    return ceilings


def typical(all_of_n):
    """The median of each ceiling over the rounds."""
    return {"read_gb_per_second": statistics.median(c["read_gb_per_second"] for c in all_of_n),
            "gflops": {u: statistics.median(c["gflops"][u] for c in all_of_n) for u in all_of_n[0]["gflops"]}}


def summarise(cases, ceilings, limit):
    """One dictionary per line of the table."""
    lines = []
    for case in cases:
        for i, row in enumerate(case.rows):
            mine, theirs = ([s.values[i] for s in side] for side in zip(*case.samples))
            pair = statistics.median(mine), statistics.median(theirs)
            each = [case.ratio(a, b) for a, b in zip(mine, theirs)]
            best = typical(ceilings[case.threads])
            shares = [row.ceiling(rate, best, is_atom) if row.ceiling else None for rate, is_atom in zip(pair, (True, False))]
            samples = [s for both in case.samples for s in both]
            lines.append({
                "group": case.group, "case": row.label, "precision": case.precision, "threads": case.threads, "unit": case.unit,
                "rounds": len(case.samples),
                "atom": pair[0], "llama_cpp": pair[1], "ratio": case.ratio(*pair), "ratio_least": min(each),
                "ratio_most": max(each), "bar": row.bar, "atom_of_ceiling": shares[0], "llama_cpp_of_ceiling": shares[1],
                "flash_attention": case.attention[0] if case.unit != "s" else None, "atom_samples": mine,
                "llama_cpp_samples": theirs, "others": [round(s.others, 4) for s in samples],
                "steal": [round(s.steal, 4) for s in samples], "disturbed": sum(s.disturbed > limit for s in samples)})
    return lines


def name_of(line):
    isa = "AVX2 " if line["group"] == "avx2" else ""
    return f"{isa}{line['case']}, {line['precision']}"


def markdown(result):
    m = result["machine"]
    least, most = min(r["rounds"] for r in result["rows"]), max(r["rounds"] for r in result["rows"])
    rounds = str(least) if least == most else f"{least} to {most}"
    out = [f"{m['cpu']}, {m['cpus']} CPUs, Linux {m['kernel']}, {m['date']}; {m['atom']}, llama.cpp {result['llama_cpp']}; "
           f"{rounds} interleaved round{'s' * (rounds != '1')}.", "",
           "| case | threads | atom | llama.cpp | ratio (spread) | bar | of the ceiling, atom / llama.cpp |",
           "|---|---|---|---|---|---|---|"]
    for line in result["rows"]:
        number = (lambda x: f"{x:.2f} s") if line["unit"] == "s" else (lambda x: f"{x:.0f} t/s" if x >= 100 else f"{x:.1f} t/s")
        shares = [line["atom_of_ceiling"], line["llama_cpp_of_ceiling"]]
        of_ceiling = " / ".join(f"{100 * s:.0f} %" for s in shares) if None not in shares else ""
        mark = " *" if line["disturbed"] else ""
        out.append(f"| {name_of(line)} | {line['threads']} | {number(line['atom'])} | {number(line['llama_cpp'])} | "
                   f"**{line['ratio']:.2f}** ({line['ratio_least']:.2f} to {line['ratio_most']:.2f}){mark} | "
                   f"{line['bar'] or ''} | {of_ceiling} |")
    out += ["", "Ceilings, measured in the same rounds:", "", "| threads | DRAM read | arithmetic, in registers |", "|---|---|---|"]
    for threads, all_of_n in sorted(result["ceilings"].items()):
        best = typical(all_of_n)
        units = ", ".join(f"{u} {rate:.0f} G/s" for u, rate in best["gflops"].items()) or "build bench_ceilings to measure it"
        out.append(f"| {threads} | {best['read_gb_per_second']:.1f} GB/s | {units} |")
    if any(line["disturbed"] for line in result["rows"]):
        out += ["", f"\\* Others took more than {100 * result['disturbed_limit']:.0f} % of the CPUs in some of its runs, "
                "repeats too: measure again on a quieter machine."]
    return "\n".join(out) + "\n"


def arguments():
    root = Path(__file__).resolve().parents[2]
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    rival = p.add_mutually_exclusive_group(required=True)
    rival.add_argument("--llama-source", help="a llama.cpp tree, or a .tar.gz of llama.cpp or llama-cpp-python: built under --work")
    rival.add_argument("--llama-bin", help=f"a folder with {', '.join(llamacpp.PROGRAMS)}")
    p.add_argument("--llama-avx2-bin", help="with --llama-bin: the same programs, built for AVX2 alone; without it, no AVX2 cases")
    p.add_argument("--atom", type=Path, default=root / "build/release/bin/atom", help="the program (default: %(default)s)")
    p.add_argument("--work", type=Path, required=True, help="a folder for weights and builds, 4 GB; kept for the next time")
    p.add_argument("--fresh", action="store_true", help="write the weights anew")
    p.add_argument("--jobs", type=int, default=machine.usable_cpus(), help="compilers at a time (default: %(default)s)")
    p.add_argument("--only", default=",".join(GROUPS), help="; ".join(f"{k}: {v}" for k, v in GROUPS.items()))
    p.add_argument("--quick", action="store_true", help="one round of short runs: that all works, not how fast it is")
    p.add_argument("--short", action="store_true", help="one timed run each instead of two, 32 sequences of 64 in, 32 out")
    p.add_argument("--threads", metavar="N,...", help="(default: 1 and all CPUs; --quick: all); batch, first, avx2: the largest")
    p.add_argument("--rounds", type=int, help="(default: 5, --quick: 1)")
    p.add_argument("--minutes", type=float, help="begin nothing new after so many, when each case has been measured once")
    p.add_argument("--disturbed", type=float, default=0.06, metavar="SHARE",
                   help="repeat a run in which others took more of the CPUs (default: %(default)s)")
    p.add_argument("--repeats", type=int, help="at most so many times (default: 3, --quick: 0)")
    p.add_argument("--markdown", type=Path, metavar="FILE", help="the table; it goes to stdout as well")
    p.add_argument("--json", type=Path, metavar="FILE", help="everything measured")
    p.add_argument("--plot", type=Path, metavar="FILE.svg", help="the ratios as bars")
    o = p.parse_args()
    o.only = o.only.split(",")
    for group in o.only:
        if group not in GROUPS:
            p.error(f"--only: unknown '{group}'; use some of {','.join(GROUPS)}")
    o.rounds = o.rounds or (1 if o.quick else 5)
    o.repeats = o.repeats if o.repeats is not None else (0 if o.quick else 3)
    o.cpus = machine.usable_cpus()
    try:
        o.threads = sorted({int(n) for n in o.threads.split(",")} if o.threads else {1, o.cpus} if not o.quick else {o.cpus})
    except ValueError:
        p.error(f"--threads: expected numbers as 1,2, found '{o.threads}'")
    if o.threads[0] < 1:
        p.error("--threads: must be 1 or more")
    if o.minutes is not None and not o.minutes > 0:
        p.error("--minutes: must be more than 0")
    for name, least in (("rounds", 1), ("repeats", 0), ("jobs", 1)):
        if getattr(o, name) < least:
            p.error(f"--{name}: must be {least} or more")
    for file in (o.markdown, o.json, o.plot):
        if file and not file.absolute().parent.is_dir():
            p.error(f"{file}: there is no folder for it; create it first")
    return o


def rivals(o):
    """-> llama.cpp for this machine; the same for AVX2 alone, or None."""
    if o.llama_bin:
        folders = {"native": o.llama_bin, "avx2": o.llama_avx2_bin}
        if "avx2" in o.only and not o.llama_avx2_bin:
            note("no --llama-avx2-bin: the AVX2 cases are left out")
    else:
        source = llamacpp.find_source(o.llama_source, o.work)
        folders = {isa: llamacpp.build(source, o.work / f"llama-{isa}", isa, o.jobs) for isa in llamacpp.ISA
                   if isa == "native" or "avx2" in o.only}
    avx2 = folders.get("avx2") if "avx2" in o.only else None
    return llamacpp.LlamaCpp(folders["native"]), llamacpp.LlamaCpp(avx2) if avx2 else None


def main():
    o = arguments()
    for name in [n for n in os.environ if n.startswith(("ATOM_", "LLAMA_ARG_", "GGML_", "OMP_"))]:
        del os.environ[name]  # settings for one side only
    o.work.mkdir(parents=True, exist_ok=True)
    files = weights.prepare(o.work / "weights", o.fresh)
    atom = Atom(o.atom, files["hf"])
    native, avx2 = rivals(o)
    note("comparing the next token's log-probabilities")
    differences = check_equal(files, atom, native, o.cpus)
    note("; ".join(f"{k}: within {v:.4f}" for k, v in differences.items()))
    cases = plan(o, files, atom, native, avx2)
    if not cases:
        raise Problem("nothing to measure: --only avx2 needs --llama-avx2-bin or --llama-source")
    ceilings = measure(cases, o)
    result = {"machine": dict(machine.describe(), atom=atom.version), "llama_cpp": native.about(),
              "disturbed_limit": o.disturbed, "log_probability_differences": differences, "ceilings": ceilings,
              "rows": summarise(cases, ceilings, o.disturbed)}
    table = markdown(result)
    print(table, end="")
    if o.markdown:
        o.markdown.write_text(table)
    if o.json:
        o.json.write_text(json.dumps(result, indent=1) + "\n")
    if o.plot:
        o.plot.write_text(plot.svg("Times as fast as llama.cpp; the tick is the bar",
                                   [(f"{name_of(r)}, {r['threads']}T", r["ratio"], r["bar"]) for r in result["rows"]]))


if __name__ == "__main__":
    try:
        main()
    except (Problem, OSError) as e:
        sys.exit(f"compare.py: {e}")
    except KeyboardInterrupt:
        sys.exit(130)
