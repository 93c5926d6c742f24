#!/usr/bin/env python3
"""What queries/sequences must answer, computed another way: in plain Python, over the file as a whole.

Nothing here knows of windows that close or of states that merge. Run it from anywhere; it rewrites
queries/sequences/expected/*.csv, and a change of those files is to be explained in the commit.
"""

import csv
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WEATHER = ROOT / "fixtures/weather/weather.csv"
EPOCH = datetime(1970, 1, 1)


def time_of(text):
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")


def alerts():
    """The hours whose lines have ',NA' more than six times."""
    counts = Counter()
    for line in WEATHER.read_text().splitlines()[1:]:
        counts[time_of(line.rsplit(",", 1)[1])] += line.count(",NA")
    return sorted((hour.isoformat(), n) for hour, n in counts.items() if n > 6)


def number(text):
    return None if text == "NA" else float(text)


def observations():
    """The observations of each station and thirty days that matter to a front: {(station, since): [(time, conditions)]}."""
    found = defaultdict(list)
    with open(WEATHER, newline="") as file:
        for row in csv.DictReader(file):
            time = time_of(row["time_hour"])
            since = time - (time - EPOCH) % timedelta(days=30)
            pressure, precip, wind = (number(row[name]) for name in ("pressure", "precip", "wind_dir"))
            own = found[row["origin"], since]
            if None not in (pressure, precip, wind):
                met = (pressure < 1010, precip > 0, 290 <= wind <= 340)
                if any(met):
                    own.append((time, met))
    return {key: sorted(own) for key, own in found.items()}


def end_of_front(events, at, step=0):
    """Where a front that begins at an event ends, behind its last event; None if there is none."""
    time, met = events[at]
    if not met[step]:
        return None
    if step == 2:
        return at + 1
    for later in range(at + 1, len(events)):
        if events[later][0] - time > timedelta(hours=12):
            return None
        end = end_of_front(events, later, step + 1)
        if end is not None:
            return end
    return None


def fronts():
    for (origin, since), events in sorted(observations().items()):
        at = n = 0
        while at < len(events):
            end = end_of_front(events, at)
            n += end is not None
            at = at + 1 if end is None else end
        yield origin, since.isoformat(), n


def write(name, header, rows):
    with open(ROOT / "queries/sequences/expected" / f"{name}.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


write("sequence_alerts", ("hour_start", "n"), alerts())
write("fronts", ("origin", "since", "n"), fronts())
