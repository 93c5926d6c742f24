"""What alarms and scaling groups over other recorded series must say: straight-line Python that shares nothing with the engine.

    python3 tests/oracle/recorded.py          writes fixtures/machines/alarms.csv and fixtures/machines/scaling.csv

The rules are those of `alarms.py` and `scaling.py`. Most alarms are over one point for each period, as a query gives them, and so are
evaluated once per period. The ambient temperature has gaps of hours and days.
"""

from datetime import timedelta

from alarms import ROOT, evaluate, samples, scale, write
from scaling import Group, stepped, tracked

minutes = lambda count: timedelta(minutes=count)

# Name, folder and series, how often it is looked at; then statistic, minutes, comparison, threshold, N, M, missing data.
ALARMS = [
    ("idle_spike", "cloudwatch", "idle", minutes(1), "maximum", 5, ">", 0.2, 1, 1, "missing"),
    ("idle_flat", "cloudwatch", "idle", minutes(1), "average", 60, "<", 0.13345, 3, 2, "notBreaching"),
    ("ambient_hot", "machines", "ambient", minutes(60), "average", 60, ">", 75, 3, 2, "missing"),
    ("ambient_cool", "machines", "ambient", minutes(60), "average", 60, "<", 68, 3, 3, "missing"),
    ("ambient_gone", "machines", "ambient", minutes(60), "samplecount", 60, "<", 1, 2, 2, "breaching"),
    ("ambient_kept", "machines", "ambient", minutes(60), "average", 60, "<", 66, 4, 3, "ignore"),
    ("fleet_hot", "machines", "autoscaled", minutes(5), "average", 5, ">", 70, 3, 3, "missing"),
    ("taxi_rush", "machines", "taxi", minutes(60), "sum", 60, ">", 50_000, 3, 2, "missing"),
    ("taxi_empty", "machines", "taxi", minutes(60), "sum", 60, "<", 8_000, 2, 2, "notBreaching"),
]


def decided(name):
    """The evaluations of an alarm."""
    folder, series, every, *rule = next(alarm[1:] for alarm in ALARMS if alarm[0] == name)
    return evaluate(samples(series, folder), *rule, every)


def main():
    changes = [
        (alarm[0], now.isoformat(), before, after)
        for alarm in ALARMS
        for now, before, after, _ in decided(alarm[0])
        if before != after
    ]
    write(ROOT / "fixtures/machines/alarms.csv", ["alarm", "at", "before", "after"], changes)
    cooling = scale(decided("ambient_hot"), decided("ambient_cool"), 1, 4, minutes(180), "cool_more", "cool_less")
    cooling = [(now.isoformat(), by, before, after) for now, by, before, after, _ in cooling if before != after]
    fleet = stepped("autoscaled", 60, 25, Group(2, 40, 10, minutes(10)), 2, "machines", minutes(5))
    cabs = tracked("taxi", 15_000, Group(1, 200, 20, minutes(45)), "machines", "sum", 30, minutes(30))
    groups = [("cooling", cooling), ("fleet", fleet), ("cabs", cabs)]
    rows = [(name, *row) for name, activities in groups for row in activities if row]
    write(ROOT / "fixtures/machines/scaling.csv", ["group", "at", "by", "before", "after"], rows)


if __name__ == "__main__":
    main()
