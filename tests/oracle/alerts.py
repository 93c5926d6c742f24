#!/usr/bin/env python3
"""What queries/alerts must answer, computed another way: in plain Python, over the file as a whole.

Nothing here knows of triggers, timers or watermarks. Run it from anywhere; it rewrites queries/alerts/expected/*.csv, and a change of
those files is to be explained in the commit.
"""

import csv
from collections import defaultdict
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOUR = timedelta(hours=1)


def readings():
    """Each station's readings in order of time: {origin: [(time, {column: number or None})]}."""
    by_station = defaultdict(list)
    with open(ROOT / "fixtures/weather/weather.csv", newline="") as file:
        for row in csv.DictReader(file):
            time = datetime.strptime(row["time_hour"], "%Y-%m-%dT%H:%M:%SZ")
            numbers = {name: None if row[name] == "NA" else float(row[name]) for name in ("temp", "humid")}
            by_station[row["origin"]].append((time, numbers))
    for rows in by_station.values():
        rows.sort(key=lambda reading: reading[0])
    return dict(sorted(by_station.items()))


def freezes(year):
    """The first reading of each stretch that begins at 32 or less and ends at 36 or more."""
    for origin, rows in year.items():
        cold = False
        for time, row in rows:
            if row["temp"] is None:
                continue
            if not cold and row["temp"] <= 32:
                yield origin, time, row["temp"]
            cold = row["temp"] < 36 if cold else row["temp"] <= 32


def repeats(before, row):
    """Whether a reading repeats the humidity before it, below saturation; None where that cannot be told."""
    if row is not None and row >= 95:
        return False
    return None if row is None or before is None else row == before


def stuck(year):
    """Stretches of readings that repeat the humidity before them, up to one that does not, of six hours or more."""
    came_to = max(rows[-1][0] for rows in year.values()) - HOUR
    for origin, rows in year.items():
        stretches, begin = [], None
        for (_, before), (time, row) in pairwise(rows):
            again = repeats(before["humid"], row["humid"])
            if again and begin is None:
                begin = time
            if again is False and begin is not None:
                stretches.append((begin, time))
                begin = None
        if begin is not None:
            stretches.append((begin, max(came_to, rows[-1][0])))
        for begin, end in stretches:
            at = begin + 6 * HOUR
            if at <= end:
                yield origin, at, begin, [row["humid"] for time, row in rows if time < at][-1]


def silences(year):
    """Where three hours or more lie between a reading and the next."""
    for origin, rows in year.items():
        for (before, _), (after, _) in pairwise(rows):
            if after - before >= 3 * HOUR:
                yield origin, before, after


def drops(year):
    """Readings 15 degrees below the newest at least three hours older, each at least twelve hours after the one before."""
    for origin, rows in year.items():
        told = None
        for nth, (time, row) in enumerate(rows):
            older = [then for at, then in rows[max(0, nth - 100) : nth] if at <= time - 3 * HOUR]
            if not older or older[-1]["temp"] is None or row["temp"] is None:
                continue
            if row["temp"] <= older[-1]["temp"] - 15 and (told is None or time >= told + 12 * HOUR):
                told = time
                yield origin, time, row["temp"]


def text(value):
    if value is None:
        return ""
    return value.strftime("%Y-%m-%dT%H:%M:%S") if isinstance(value, datetime) else str(value)


def write(name, header, rows):
    with open(ROOT / "queries/alerts/expected" / f"{name}.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header.split())
        writer.writerows([text(value) for value in row] for row in rows)


def main():
    year = readings()
    write("freeze_alerts", "origin fired_at temp", freezes(year))
    write("stuck_sensors", "origin fired_at since humid", stuck(year))
    gaps = list(silences(year))
    write("missing_stations", "origin fired_at since", [(o, before + 3 * HOUR, before) for o, before, _ in gaps])
    write("returned_stations", "origin fired_at", [(o, after) for o, _, after in gaps])
    write("sudden_drops", "origin fired_at temp", drops(year))


if __name__ == "__main__":
    main()
