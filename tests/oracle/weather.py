#!/usr/bin/env python3
"""What queries/weather must answer, computed another way: in plain Python, over the file as a whole.

Nothing here knows of windows that close, watermarks or shards. Run it from anywhere; it rewrites
queries/weather/expected/*.csv, and a change of those files is to be explained in the commit.
"""

import csv
import math
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOUR = timedelta(hours=1)


def readings():
    """Each station's readings in order of time: {origin: [(time, temp or None, row)]}."""
    by_station = defaultdict(list)
    with open(ROOT / "fixtures/weather/weather.csv", newline="") as file:
        for row in csv.DictReader(file):
            time = datetime.strptime(row["time_hour"], "%Y-%m-%dT%H:%M:%SZ")
            temp = None if row["temp"] == "NA" else float(row["temp"])
            by_station[row["origin"]].append((time, temp, row))
    for rows in by_station.values():
        rows.sort(key=lambda reading: reading[0])
    return dict(sorted(by_station.items()))


def mean(values):
    return math.fsum(values) / len(values) if values else None


def days(by_station):
    """Minimum, maximum and mean of each day (UTC) and station."""
    for origin, rows in by_station.items():
        groups = defaultdict(list)
        for time, temp, _ in rows:
            groups[time.replace(hour=0)].append(temp)
        for day, temps in sorted(groups.items()):
            known = [temp for temp in temps if temp is not None]
            yield origin, day, len(temps), min(known, default=None), max(known, default=None), mean(known)


def moving(by_station):
    """The mean of the six hours before each full hour that has a reading in them."""
    for origin, rows in by_station.items():
        temp_at = {time: temp for time, temp, _ in rows}
        assert len(temp_at) == len(rows), "two readings of one hour: the table below would lose one"
        end = rows[0][0] + HOUR
        while end <= rows[-1][0] + 6 * HOUR:
            window = [temp_at[end - n * HOUR] for n in range(1, 7) if end - n * HOUR in temp_at]
            if window:
                yield origin, end, len(window), mean([temp for temp in window if temp is not None])
            end += HOUR


def runs(rows, gap):
    """Splits readings wherever more than `gap` lies between one and the next."""
    run = []
    for reading in rows:
        if run and reading[0] - run[-1][0] > gap:
            yield run
            run = []
        run.append(reading)
    if run:
        yield run


def spells(by_station, is_in, gap, extreme):
    """Runs of the readings for which `is_in` holds, with their most extreme temperature."""
    for origin, rows in by_station.items():
        for run in runs([r for r in rows if r[1] is not None and is_in(r[1])], gap):
            yield origin, run[0][0], run[-1][0], len(run), extreme(temp for _, temp, _ in run)


def newest(by_station):
    for origin, rows in by_station.items():
        time, temp, row = rows[-1]
        yield origin, time, temp, float(row["humid"]), float(row["wind_speed"]), len(rows)


def missing(by_station):
    """The hours between a station's first and last reading that have none."""
    for origin, rows in by_station.items():
        present = {time for time, _, _ in rows}
        hour = rows[0][0]
        while hour < rows[-1][0]:
            if hour not in present:
                yield origin, hour
            hour += HOUR


def text(value):
    if value is None:
        return ""
    return value.strftime("%Y-%m-%dT%H:%M:%S") if isinstance(value, datetime) else repr(value) if isinstance(value, float) else str(value)


def write(name, header, rows):
    with open(ROOT / "queries/weather/expected" / f"{name}.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header.split())
        writer.writerows([text(value) for value in row] for row in rows)


def main():
    year = readings()
    write("daily_temperature", "origin day readings min_temp max_temp mean_temp", days(year))
    write("moving_mean", "origin until readings mean_temp", moving(year))
    heat = spells(year, lambda temp: temp >= 90, timedelta(days=1), max)
    write("heat_spells", "origin first_hour last_hour hot_hours max_temp", heat)
    frost = spells(year, lambda temp: temp <= 32, timedelta(hours=18), min)
    write("freeze_spells", "origin first_hour last_hour cold_hours min_temp", frost)
    write("newest_reading", "origin time_hour temp humid wind_speed readings", newest(year))
    write("missing_hours", "origin missing_hour", missing(year))


if __name__ == "__main__":
    main()
