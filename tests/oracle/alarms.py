"""What alarms over fixtures/cloudwatch must say: straight-line Python that shares nothing with the engine.

    python3 tests/oracle/alarms.py          writes fixtures/cloudwatch/alarms.csv and queries/cpu/expected

Minute by minute, each of the newest periods is cut out of the samples anew. The rules are those of CloudWatch, written down case
by case as its documentation tells them.
"""

import csv
import math
from datetime import datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).parents[2]
MINUTE = timedelta(minutes=1)
OK, ALARM, NO_DATA = "OK", "ALARM", "INSUFFICIENT_DATA"
COMPARE = {">": lambda a, b: a > b, ">=": lambda a, b: a >= b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b}


def samples(name, folder="cloudwatch"):
    with open(ROOT / "fixtures" / folder / f"{name}.csv") as file:
        return [(datetime.fromisoformat(row["timestamp"]), float(row["value"])) for row in csv.DictReader(file)]


def percentile(values, part):
    """Between the two nearest ranks, in proportion."""
    values = sorted(values)
    place = part * (len(values) - 1)
    low = math.floor(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)


STATISTICS = {
    "average": lambda values: sum(values) / len(values),
    "sum": sum,
    "minimum": min,
    "maximum": max,
    "samplecount": len,
    "p90": lambda values: percentile(values, 0.9),
}


def point(series, statistic, end, period):
    """The value of the period that ends at `end`; none without samples."""
    values = [value for time, value in series if end - period <= time < end]
    return STATISTICS[statistic](values) if values else None


def state_of(points, n, m, breaches, missing, before):
    """Points newest first. The tables of the documentation, read row by row."""
    there = [value for value in points if value is not None]
    if len(there) >= n:
        # There are enough points, so how missing ones are treated does not matter.
        return ALARM if sum(map(breaches, there[:n])) >= m else OK
    breaching = sum(map(breaches, there))
    if missing == "breaching":
        return ALARM if breaching + (n - len(there)) >= m else OK
    if missing == "notBreaching":
        return ALARM if breaching >= m else OK
    if not there:
        return NO_DATA if missing == "missing" else before
    if breaching >= m:
        return ALARM
    if breaching < len(there):
        return OK
    if missing == "ignore":
        return before
    oldest = max(age for age, value in enumerate(points, 1) if value is not None)
    return ALARM if oldest >= m else before


def evaluate(series, statistic, minutes, comparison, threshold, n, m, missing, every=MINUTE):
    """(time, before, after, newest point) for each minute from the first point to the last; or as rarely as is said."""
    period = timedelta(minutes=minutes)
    looked_at = n + max(n // 3, 2)
    breaches = lambda value: COMPARE[comparison](value, threshold)
    first, last = series[0][0], series[-1][0]
    midnight = first.replace(hour=0, minute=0, second=0)
    now = midnight + ((first - midnight) // every + 1) * every
    state = NO_DATA
    cached = {}
    near = {}
    for time, value in series:
        near.setdefault(time.replace(minute=0, second=0), []).append((time, value))

    def at(end):
        if end not in cached:
            hours = (end - timedelta(hours=h) for h in range(minutes // 60 + 2))
            around = [sample for hour in hours for sample in near.get(hour.replace(minute=0, second=0), [])]
            cached[end] = point(sorted(around), statistic, end, period)
        return cached[end]

    while now < last + period + every and now - period <= last:
        points = [at(now - period * age) for age in range(looked_at)]
        before, state = state, state_of(points, n, m, breaches, missing, state)
        yield now, before, state, points[0]
        now += every


# Name, series, statistic, minutes, comparison, threshold, N, M, missing data.
ALARMS = [
    ("cpu_high", "cpu", "average", 5, ">", 95, 2, 2, "missing"),
    ("cpu_slow", "cpu", "average", 60, ">=", 95, 3, 2, "missing"),
    ("cpu_low", "cpu", "minimum", 15, "<=", 50, 3, 3, "notBreaching"),
    ("busy", "requests", "sum", 15, ">", 300, 2, 2, "missing"),
    ("busy_p90", "requests", "p90", 60, ">", 198.77, 3, 2, "ignore"),
    ("quiet", "requests", "sum", 5, "<", 10, 3, 3, "breaching"),
    ("quiet_kept", "requests", "maximum", 5, "<", 20, 4, 3, "ignore"),
    ("quiet_missing", "requests", "average", 5, "<", 20, 4, 3, "missing"),
    ("quiet_fine", "requests", "samplecount", 10, "<", 2, 3, 2, "notBreaching"),
]


def write(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def changes(name, *alarm):
    series = samples(alarm[0])
    for now, before, after, _ in evaluate(series, *alarm[1:]):
        if before != after:
            yield name, now.isoformat(), before, after


def scale(high, low, least, most, cooldown, more="add_one", fewer="remove_one"):
    """A simple policy on each of two alarms: (time, policy, before, after, why not), minute by minute while an alarm is on."""
    size, rest = least, None
    on = {}
    for name, evaluations in ((more, high), (fewer, low)):
        for now, _, state, _ in evaluations:
            if state == ALARM:
                on.setdefault(now, []).append(name)
    for now in sorted(on):
        for name in on[now]:
            wanted = size + (1 if name == more else -1)
            if rest is not None and now < rest:
                yield now, name, size, size, "in cooldown"
            elif wanted > most:
                yield now, name, size, size, "at the maximum"
            elif wanted < least:
                yield now, name, size, size, "at the minimum"
            else:
                yield now, name, size, wanted, ""
                size, rest = wanted, now + cooldown


def main():
    rows = [row for alarm in ALARMS for row in changes(*alarm)]
    write(ROOT / "fixtures/cloudwatch/alarms.csv", ["alarm", "at", "before", "after"], rows)
    ready = [
        ("cpu_high", "cpu", "average", 5, ">", 70, 2, 2, "missing"),
        ("cpu_low", "cpu", "average", 5, "<", 50, 2, 2, "missing"),
    ]
    rows = sorted((row for alarm in ready for row in changes(*alarm)), key=lambda row: (row[1], row[0]))
    write(ROOT / "queries/cpu/expected/changes.csv", ["alarm", "at", "before", "after"], rows)
    high, low = (evaluate(samples("cpu"), *alarm[2:]) for alarm in ready)
    decisions = list(scale(high, low, 1, 2, timedelta(seconds=180)))
    rows = [(now.isoformat(), *rest[:3]) for now, *rest in decisions if rest[1] != rest[2]]
    write(ROOT / "queries/cpu/expected/activities.csv", ["at", "by", "before", "after"], rows)
    reasons = sorted({(name, why) for _, name, _, _, why in decisions if why})
    rows = [(*reason, sum((name, why) == reason for _, name, _, _, why in decisions)) for reason in reasons]
    write(ROOT / "queries/cpu/expected/reasons.csv", ["by", "why_not", "times"], rows)


if __name__ == "__main__":
    main()
