#!/usr/bin/env python3
"""What queries/patterns must answer, computed another way: in plain Python, over all rows at once.

`best` tries the ways to match one after the other, in the order in which the SQL standard prefers them. Fronts are found without it, by
looking for the first fall, rain and turn. Nothing here knows of automata, watermarks or state. Run it from anywhere; it rewrites
queries/patterns/expected/*.csv, and a change of those files is to be explained in the commit.
"""

import csv
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
QUERIES = ROOT / "queries/patterns"


def time_of(text):
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")


def rooms():
    """{room: [(time, temp or None)]}, in order of time."""
    by_room = defaultdict(list)
    with open(QUERIES / "rooms.csv", newline="") as file:
        for row in csv.DictReader(file):
            by_room[row["room"]].append((time_of(row["ts"]), int(row["temp"]) if row["temp"] else None))
    return {room: sorted(rows, key=lambda row: row[0]) for room, rows in sorted(by_room.items())}


class Match:
    """Rows mapped to variables so far, the last of them perhaps on trial."""

    def __init__(self, rows, start, path):
        self.rows, self.start, self.path = rows, start, path

    def of(self, variable=None):
        """The temperatures of a variable's rows, or of all."""
        return [self.rows[self.start + nth][1] for nth, own in enumerate(self.path) if variable in (None, own)]

    def last(self, variable=None, back=0):
        values = self.of(variable)
        return values[-1 - back] if len(values) > back else None

    def first(self, variable=None):
        return self.of(variable)[0]

    def times(self, variable=None):
        return [self.rows[self.start + nth][0] for nth, own in enumerate(self.path) if variable in (None, own)]

    def before(self):
        """The row of the partition before the last one."""
        at = self.start + len(self.path) - 2
        return self.rows[at][1] if at >= 0 else None


def is_(compare, *values):
    return all(value is not None for value in values) and compare(*values)


def ways(pattern, rows, start, path, allowed):
    """All ways to map rows from `start` to a pattern, the preferred ones first: the paths behind it."""
    kind = pattern[0]
    if kind == "var":
        longer = path + [pattern[1]]
        if start + len(path) < len(rows) and allowed(longer):
            yield longer
    elif kind == "seq":
        if not pattern[1]:
            yield path
        else:
            for head in ways(pattern[1][0], rows, start, path, allowed):
                yield from ways(("seq", pattern[1][1:]), rows, start, head, allowed)
    elif kind == "or":
        for part in pattern[1]:
            yield from ways(part, rows, start, path, allowed)
    else:
        _, inner, least, most, greedy = pattern
        stop = [path] if least == 0 else []
        if not greedy:
            yield from stop
        if most != 0:
            for head in ways(inner, rows, start, path, allowed):
                if len(head) > len(path):
                    again = (kind, inner, max(least - 1, 0), None if most is None else most - 1, greedy)
                    yield from ways(again, rows, start, head, allowed)
        if greedy:
            yield from stop


def best(rows, start, pattern, define, within):
    def allowed(path):
        at = start + len(path) - 1
        in_time = within is None or rows[at][0] - rows[start][0] <= within
        return in_time and define.get(path[-1], lambda match: True)(Match(rows, start, path))

    return next(ways(pattern, rows, start, [], allowed), None)


def matches(rows, pattern, define, skip="past last row", within=None):
    start = 0
    while start < len(rows):
        path = best(rows, start, pattern, define, within)
        if not path:
            start += 1
            continue
        yield Match(rows, start, path)
        if skip == "past last row":
            start += len(path)
        elif skip == "next row":
            start += 1
        else:
            end, variable = skip
            places = [nth for nth, own in enumerate(path) if own == variable]
            start += max(places[0] if end == "first" else places[-1], 1)


def var(name):
    return ("var", name)


def seq(*parts):
    return ("seq", list(parts))


def many(inner, least=0, most=None, greedy=True):
    return ("many", inner, least, most, greedy)


def quantifiers(all_rooms, greedy):
    define = {
        "A": lambda m: is_(lambda t: t > 20, m.last()),
        "B": lambda m: is_(lambda t: t < 25, m.last()),
        "C": lambda m: is_(lambda t: t > 22, m.last()),
    }
    pattern = seq(var("A"), many(var("B"), greedy=greedy), var("C"))
    for room, rows in all_rooms.items():
        for match in matches(rows, pattern, define):
            yield room, match.last("C"), len([t for t in match.of("B") if t is not None])


def cooling(all_rooms):
    def down(m):
        before = m.last("down", 1)
        if before is None:
            return is_(lambda t, warm: t < warm, m.last(), m.last("warm"))
        return is_(lambda t: t < before, m.last())

    define = {"down": down, "up": lambda m: is_(lambda t, low: t > low, m.last(), m.last("down"))}
    pattern = seq(var("warm"), many(var("down"), 1), var("up"))
    for room, rows in all_rooms.items():
        for m in matches(rows, pattern, define, ("last", "up")):
            yield room, m.times("warm")[-1], m.times("down")[-1], m.times("up")[-1], m.last("down")


def rising(all_rooms):
    def up(m):
        before = m.last("A", 1)
        return before is None or is_(lambda t: t > before, m.last())

    define = {"A": up, "B": lambda m: is_(lambda t, top: t < top, m.last(), m.last("A"))}
    for room, rows in all_rooms.items():
        for m in matches(rows, seq(many(var("A"), 1), var("B")), define):
            yield room, m.first("A"), m.last("A"), m.last("B")


def mean(values):
    values = [value for value in values if value is not None]
    return sum(values) / len(values) if values else None


def cool_stretches(all_rooms):
    define = {"A": lambda m: is_(lambda t: t < 15, mean(m.of("A")))}
    for room, rows in all_rooms.items():
        for m in matches(rows, seq(many(var("A"), 1), var("B")), define):
            times = m.times("A")
            yield room, times[0], times[-1], mean(m.of("A")), len([t for t in m.of("A") if t is not None])


def doubling(all_rooms):
    def b(m):
        one, two = m.last("B", 1), m.last("B", 2)
        up = one is None or is_(lambda t: t > one, m.last())
        return up and (two is None or is_(lambda t: t > 2 * two, m.last()))

    define = {"A": lambda m: is_(lambda t: t >= 10, m.last()), "B": b}
    for room, rows in all_rooms.items():
        for m in matches(rows, seq(var("A"), many(var("B"), 1), var("C")), define):
            known = [t for t in m.of("B") if t is not None]
            yield room, len(m.path), sum(known) if known else None


def falls(all_rooms):
    define = {
        "B": lambda m: is_(lambda t, a: t > a - 10, m.last(), m.last("A")),
        "C": lambda m: is_(lambda t, a: t < a - 10, m.last(), m.last("A")),
    }
    pattern = seq(var("A"), many(var("B")), var("C"))
    for room, rows in all_rooms.items():
        for m in matches(rows, pattern, define, within=timedelta(hours=1)):
            yield room, m.times("C")[-1], m.last("A") - m.last("C")


def rises(all_rooms):
    define = {"B": lambda m: is_(lambda t, before: t > before, m.last(), m.before())}
    counts = defaultdict(int)
    for rows in all_rooms.values():
        for m in matches(rows, seq(var("A"), many(var("B"), 2, 2)), define, within=timedelta(hours=2)):
            at = m.times()[-1]
            counts[at.replace(hour=at.hour // 6 * 6, minute=0) + timedelta(hours=6)] += 1
    yield from sorted(counts.items())


def skips(all_rooms, skip):
    define = {
        "A": lambda m: is_(lambda t: t < 20, m.last()),
        "B": lambda m: is_(lambda s: s < 60, total(m.of("B"))),
        "C": lambda m: is_(lambda t, a: t > a, m.last(), m.last("A")),
    }
    for room, rows in all_rooms.items():
        for m in matches(rows, seq(var("A"), many(var("B"), 1), var("C")), define, skip):
            yield room, len(m.path), m.first(), m.last()


def total(values):
    values = [value for value in values if value is not None]
    return sum(values) if values else None


def open_doors(all_rooms):
    define = {
        "warmer": lambda m: is_(lambda t, before: t >= before + 2, m.last(), m.before()),
        "cooler": lambda m: is_(lambda t, before: t < before, m.last(), m.before()),
        "same": lambda m: is_(lambda t, before: t == before, m.last(), m.before()),
    }
    pattern = seq(var("shut"), many(var("warmer"), 2), ("or", [var("cooler"), var("same")]))
    for room, rows in all_rooms.items():
        for nr, m in enumerate(matches(rows, pattern, define, within=timedelta(hours=3)), 1):
            temps, times = m.of(), m.times()
            for temp, time, part in zip(temps, times, m.path, strict=True):
                yield room, time, nr, part, temp - temps[0], max(temps), temp


def sky():
    """{origin: [(time, pressure, precip, wind_dir)]}, in order of time."""
    by_station = defaultdict(list)
    with open(ROOT / "fixtures/weather/weather.csv", newline="") as file:
        for row in csv.DictReader(file):
            numbers = [None if row[name] == "NA" else float(row[name]) for name in ("pressure", "precip", "wind_dir")]
            by_station[row["origin"]].append((time_of(row["time_hour"]), *numbers))
    return {origin: sorted(rows, key=lambda row: row[0]) for origin, rows in sorted(by_station.items())}


def fronts():
    """The first fall by 3, the first rain after it, the first wind from the north-west after that; within twelve hours of the start."""

    def first(rows, begin, end, holds):
        return next((nth for nth in range(begin, end) if holds(rows[nth])), None)

    for origin, rows in sky().items():
        start = 0
        while start < len(rows):
            time, pressure = rows[start][:2]
            end = start
            while end < len(rows) and rows[end][0] - time <= timedelta(hours=12):
                end += 1
            low = first(rows, start + 1, end, lambda row, p=pressure: is_(lambda now, was: now <= was - 3, row[1], p))
            wet = low and first(rows, low + 1, end, lambda row: is_(lambda rain: rain > 0, row[2]))
            turn = wet and first(rows, wet + 1, end, lambda row: is_(lambda wind: 293 <= wind <= 337, row[3]))
            if not turn:
                start += 1
                continue
            rain = max(row[2] for row in rows[start : turn + 1] if row[2] is not None)
            yield origin, time, rows[low][0], rows[low][1], rows[wet][0], rows[turn][0], rain
            start = turn + 1


def text(value):
    if value is None:
        return ""
    return value.strftime("%Y-%m-%dT%H:%M:%S") if isinstance(value, datetime) else str(value)


def write(name, header, rows):
    with open(QUERIES / "expected" / f"{name}.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header.split())
        writer.writerows([text(value) for value in row] for row in rows)


def main():
    every = rooms()
    write("greedy", "room last n", quantifiers(every, True))
    write("reluctant", "room last n", quantifiers(every, False))
    write("cooling", "room began_at coldest_at ended_at coldest", cooling(every))
    write("rising", "room first top last", rising(every))
    write("cool_stretches", "room from_ts to_ts mean n", cool_stretches(every))
    write("doubling", "room n sum", doubling(every))
    write("falls", "room fell_at by", falls(every))
    write("rises", "window_end n", rises(every))
    for name, skip in (
        ("past_last_row", "past last row"),
        ("to_next_row", "next row"),
        ("to_last_b", ("last", "B")),
        ("to_first_c", ("first", "C")),
    ):
        write(name, "room n first last", skips(every, skip))
    write("open_doors", "room ts nr part so_far highest temp", open_doors(every))
    found = list(fronts())
    write("fronts", "origin began_at fallen_at pressure rained_at turned_at rain", found)
    by_month = defaultdict(int)
    for origin, *_, turned, _rain in found:
        by_month[origin, turned.replace(day=1, hour=0)] += 1
    write("fronts_by_month", "origin month n", [(*key, n) for key, n in sorted(by_month.items())])


if __name__ == "__main__":
    main()
