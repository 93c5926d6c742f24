"""What queries/machines and queries/stations must say: straight-line Python over the whole files, which shares nothing with the engine.

    python3 tests/oracle/machines.py          writes queries/machines/expected and queries/stations/expected
"""

import csv
from datetime import datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def read(path):
    with open(ROOT / path) as file:
        return list(csv.DictReader(file))


def write(path, header, rows):
    path = ROOT / path
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def daily_means(samples):
    """(end, mean) of each day that ends on an hour and has a sample."""
    end = min(time for time, _ in samples).replace(minute=0) + HOUR
    last = max(time for time, _ in samples)
    while end - DAY <= last:
        values = [value for time, value in samples if end - DAY <= time < end]
        if values:
            yield end, sum(values) / len(values)
        end += HOUR


def drifts():
    """When the mean has fallen by 20 within three days, until it is within five of what it was then."""
    rows = read("fixtures/machines/temperature.csv")
    means = list(daily_means([(datetime.fromisoformat(row["timestamp"]), float(row["value"])) for row in rows]))
    armed = True
    for time, mean in means:
        older = [value for then, value in means if then <= time - 3 * DAY]
        if not older:
            continue
        if armed and mean < older[-1] - 20:
            armed = False
            yield time.isoformat(), round(mean, 6)
        elif not armed and mean >= older[-1] - 5:
            armed = True


def hottest():
    """The highest temperature of each day, and the first station that had it."""
    days = {}
    for row in read("fixtures/weather/weather.csv"):
        if row["temp"] != "NA":
            day = row["time_hour"][:10]
            days.setdefault(day, []).append((-float(row["temp"]), row["origin"]))
    for day in sorted(days):
        temp, origin = min(days[day])
        yield f"{day}T00:00:00", origin, -temp


if __name__ == "__main__":
    write("queries/machines/expected/drifts.csv", ["fired_at", "mean"], drifts())
    write("queries/stations/expected/hottest_stations.csv", ["day", "origin", "max_temp"], hottest())
