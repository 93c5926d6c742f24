#!/usr/bin/env python3
"""Nexmark in Headwater and in Apache Flink, query by query, in one run on the same cores.

Both read the same events, take exactly-once checkpoints every ten seconds, and throw the results away (the sink 'blackhole' of either; q10
writes files). Flink runs in one JVM with its own generator, start-up taken in; Headwater reads its log (or its generator, with --source
generator). A query that Headwater is done with in less than ten seconds takes one checkpoint there, at its end, which is taken in.
Prints CPU seconds, time and memory of both, and the ratios; with --json FILE writes them, too.

Needs Java 17 or later and pip; Flink comes from PyPI (apache-flink-libraries) into the user's cache folder.
"""

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

VERSION = "2.3.0"
HERE = Path(__file__).resolve().parent
QUERIES = HERE.parent.parent / "queries" / "nexmark"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "headwater"
OPENED = [f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in ("lang", "nio", "util")]


def flink():
    """The folder of Flink's jars; fetched if need be."""
    home = CACHE / f"flink-{VERSION}"
    CACHE.mkdir(parents=True, exist_ok=True)
    if not home.exists():
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", work]
            subprocess.run([*pip, f"apache-flink-libraries=={VERSION}"], check=True)
            with tarfile.open(next(Path(work).glob("*.tar.gz"))) as archive:
                archive.extractall(work, filter="data")
            shutil.move(next(path for path in Path(work).iterdir() if path.is_dir()), home)
    return next(home.glob("**/deps/lib"))


def compile_peer(jars, into):
    """Compiles the peer's side: the source of events and the program that runs one query."""
    services = into / "META-INF" / "services"
    services.mkdir(parents=True)
    sources = sorted(str(path) for path in (HERE / "flink").glob("*.java"))
    subprocess.run(["javac", "-d", str(into), "-cp", f"{jars}/*", *sources], check=True)
    (services / "org.apache.flink.table.factories.Factory").write_text("NexmarkFactory\nSideInputFactory\n")
    (into / "log4j2.properties").write_text("rootLogger.level = OFF\n")


def run_flink(jars, classes, query, args, work):
    """Seconds, CPU seconds and bytes of memory of one query in Flink."""
    checkpoints = work / "checkpoints"
    command = [
        "java", f"-Xmx{args.flink_heap}", *OPENED, f"-Dlog4j2.configurationFile={classes / 'log4j2.properties'}",
        "-cp", f"{classes}:{jars}/*", "Nexmark", str(QUERIES / "tables.sql"), str(QUERIES / f"{query}.sql"),
        str(args.events), str(args.workers), str(checkpoints), str(work),
    ]
    (work / "side_input.csv").write_text("".join(f"{key},value {key}\n" for key in range(10_000)))
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=work)
    complaint = process.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    shutil.rmtree(checkpoints, ignore_errors=True)
    if process.returncode != 0:
        raise SystemExit(f"Flink, {query}: {complaint[:2000]}")
    return time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def run_headwater(query, args, work):
    """The same of Headwater, as `headwater bench nexmark` tells it."""
    command = [
        args.headwater, "bench", "nexmark", "--queries", query, "--events", str(args.events), "--workers", str(args.workers),
        "--source", args.source, "--into", "blackhole", "--runs", str(args.runs), "--dir", str(work), "--json",
    ]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    figure = {each["name"]: each["value"] for each in report["figures"]}
    return figure[f"{query}, until done"], figure[f"{query}, CPU"], figure[f"{query}, memory at most"] * 1e6


def known_queries():
    # The benchmark's authors mark q6 as not supported by Flink.
    names = (path.stem for path in QUERIES.glob("q*.sql") if path.stem != "q6")
    return sorted(names, key=lambda name: int(name[1:]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--headwater", default="headwater", help="the binary, built with --release")
    parser.add_argument("--queries", type=lambda text: text.split(","), default=known_queries(), help="such as q0,q5; all that Flink runs unless given")
    parser.add_argument("--events", type=int, default=10_000_000, help="a multiple of 50 times the workers")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--source", choices=["log", "generator"], default="log", help="what Headwater reads")
    parser.add_argument("--runs", type=int, default=1, help="of each query in each engine; medians are shown")
    parser.add_argument("--flink-heap", default="10g", help="-Xmx of Flink's JVM")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    args = parser.parse_args()
    if args.events % (50 * args.workers) != 0:
        parser.error(f"--events has to be a multiple of {50 * args.workers}")

    found = []
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        jars, classes = flink(), work / "classes"
        compile_peer(jars, classes)
        print(f"{args.events:,} events, {args.workers} workers, Headwater from the {args.source}, Flink {VERSION}")
        print(f"{'':>5} {'Headwater':>25} {'Flink':>27} {'Flink / Headwater':>28}")
        print(f"{'query':>5} {'s':>7} {'CPU s':>8} {'MB':>8} {'s':>10} {'CPU s':>8} {'MB':>7} {'time':>12} {'CPU':>7} {'memory':>7}", flush=True)
        for query in args.queries:
            ours = run_headwater(query, args, work)
            theirs = [run_flink(jars, classes, query, args, work) for _ in range(args.runs)]
            theirs = tuple(statistics.median(each) for each in zip(*theirs))
            ratios = tuple(their / our for their, our in zip(theirs, ours))
            found.append({"query": query, "headwater": ours, "flink": theirs, "ratios": ratios})
            print(
                f"{query:>5} {ours[0]:>7.2f} {ours[1]:>8.2f} {ours[2] / 1e6:>8.0f} {theirs[0]:>10.1f} {theirs[1]:>8.1f}"
                f" {theirs[2] / 1e6:>7.0f} {ratios[0]:>12.1f} {ratios[1]:>7.1f} {ratios[2]:>7.1f}",
                flush=True,
            )
    means = [math.exp(statistics.fmean(math.log(each["ratios"][nth]) for each in found)) for nth in range(3)]
    print(f"geometric mean of the ratios {'':>46} {means[0]:>7.1f} {means[1]:>7.1f} {means[2]:>7.1f}")
    if args.json:
        setup = {"events": args.events, "workers": args.workers, "source": args.source, "flink": VERSION, "runs": args.runs}
        units = ["seconds", "CPU seconds", "bytes of memory"]
        args.json.write_text(json.dumps({"setup": setup, "units": units, "queries": found, "means": means}, indent=2))


if __name__ == "__main__":
    main()
