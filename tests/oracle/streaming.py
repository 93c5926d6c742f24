#!/usr/bin/env python3
"""What queries/streaming must give, computed by SQLite over all rows at once.

It shares nothing with the engine: the rows are those of the INSERT statements, the queries are written for SQLite below.

    python3 tests/oracle/streaming.py           compares with queries/streaming/expected
    python3 tests/oracle/streaming.py --write   writes it
"""

import csv
import io
import pathlib
import re
import sqlite3
import sys

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "queries" / "streaming"

# Seconds since 1970, for frames of time.
S = "CAST(strftime('%s', ts) AS INTEGER)"



def valid(sign="<="):
    """Whether r is the newest rate up to o: of two at one time the greater."""
    return f"""r.rowid = (
        SELECT v.rowid FROM rates v WHERE v.currency = o.currency AND v.ts {sign} o.ts ORDER BY v.ts DESC, v.rate DESC LIMIT 1)"""


def following(sign=">="):
    """Whether r is the first rate from o on: of two at one time the greater."""
    return f"""r.rowid = (
        SELECT v.rowid FROM rates v WHERE v.currency = o.currency AND v.ts {sign} o.ts ORDER BY v.ts, v.rate DESC LIMIT 1)"""


# Each rack's cells by number, in the order of time, and at one time in the order of all columns.
ORDERED = "ordered AS (SELECT *, ROW_NUMBER() OVER (PARTITION BY rack ORDER BY ts, state, volts) AS n FROM cells)"

# Of each order its newest word.
NEWEST_ORDERS = "(SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY id ORDER BY ts DESC) AS nth FROM orders) WHERE nth = 1)"

# The number of the next cell in a state.
NEXT = "(SELECT MIN(x.n) FROM ordered x WHERE x.rack = {rack} AND x.n > {after} AND x.state = '{state}')"

def at(seconds):
    """A time of so many seconds since 1970."""
    return f"strftime('%Y-%m-%d %H:%M:%S', {seconds}, 'unixepoch')"


# Seconds since 1970, and which of the windows of a table with these sizes each row is in.
AT = "CAST(strftime('%s', at) AS INTEGER)"


def tumble(size, offset=0, table="bids"):
    return f"(SELECT *, ({AT} - {offset}) / {size} * {size} + {offset} AS w FROM {table})"


def hop(slide, size):
    return f"""(SELECT b.*, {AT} / {slide} * {slide} - n.value * {slide} AS w
        FROM bids b, generate_series_0 n WHERE {AT} / {slide} * {slide} - n.value * {slide} + {size} > {AT})"""


def sessions(gap, key):
    """Rows that come no more than the gap behind the one before them are in its session."""
    return f"""
        WITH before AS (SELECT *, julianday(at) * 86400 - julianday(LAG(at) OVER (PARTITION BY {key} ORDER BY at)) * 86400 AS pause FROM bids),
        numbered AS (SELECT *, SUM(CASE WHEN pause <= {gap} + 0.0001 THEN 0 ELSE 1 END) OVER (PARTITION BY {key} ORDER BY at) AS nr FROM before)"""


JOINED = "ON l.item = r.item AND l.w = r.w"
BIDS, ASKS = f"{tumble(300)} l", f"{tumble(300, table='asks')} r"

QUERIES = {
    "windows": {
        "tumbled": f"SELECT {at('w')}, {at('w + 600')}, SUM(price) FROM {tumble(600)} GROUP BY w",
        "shifted": f"SELECT {at('w')}, COUNT(*) FROM {tumble(600, 180)} GROUP BY w",
        "hopped": f"SELECT {at('w')}, {at('w + 600')}, item, SUM(price) FROM {hop(300, 600)} GROUP BY w, item",
        "hopped_unevenly": f"SELECT {at('w')}, {at('w + 600')}, MAX(price), COUNT(*) FROM {hop(240, 600)} GROUP BY w",
        "cumulated": f"""
            SELECT {at('w')}, {at('w + n.value * 120')}, SUM(price) FROM {tumble(600)}, generate_series_0 n
            WHERE n.value BETWEEN 1 AND 5 AND w + n.value * 120 > {AT} GROUP BY w, n.value""",
        "sessions_of_items": f"""
            {sessions(300, "item")} SELECT item, MIN(at), strftime('%Y-%m-%d %H:%M:%f', MAX(at), '+5 minutes'), SUM(price) FROM numbered
            GROUP BY item, nr""",
        "sessions_of_all": f"""
            {sessions(180, "1")} SELECT MIN(at), strftime('%Y-%m-%d %H:%M:%f', MAX(at), '+3 minutes'), COUNT(*) FROM numbered GROUP BY nr""",
        "session_bids": f"""
            {sessions(300, "item")} SELECT item, at, price, MIN(at) OVER w, strftime('%Y-%m-%d %H:%M:%f', MAX(at) OVER w, '+5 minutes')
            FROM numbered WINDOW w AS (PARTITION BY item, nr)""",
        "dearest_of_sessions": f"""
            {sessions(300, "item")}, placed AS (
              SELECT *, MIN(at) OVER (PARTITION BY item, nr) AS start,
                ROW_NUMBER() OVER (PARTITION BY item, nr ORDER BY price DESC, at) AS place FROM numbered)
            SELECT start, item, price, at FROM placed WHERE place = 1""",
        "tens": f"""
            WITH fives AS (SELECT w, supplier, SUM(price) AS partial FROM {tumble(300)} GROUP BY w, supplier)
            SELECT {at('w / 600 * 600')}, {at('w / 600 * 600 + 600')}, SUM(partial), COUNT(*) FROM fives GROUP BY w / 600""",
        "best_suppliers": f"""
            WITH totals AS (SELECT w, supplier, SUM(price) AS total FROM {tumble(600)} GROUP BY w, supplier),
            placed AS (SELECT *, ROW_NUMBER() OVER (PARTITION BY w ORDER BY total DESC, supplier NULLS LAST) AS place FROM totals)
            SELECT {at('w')}, supplier, total, place FROM placed WHERE place <= 2""",
        "last_bids": f"""
            WITH placed AS (SELECT *, ROW_NUMBER() OVER (PARTITION BY w, supplier ORDER BY at DESC) AS place FROM {tumble(600)})
            SELECT {at('w')}, supplier, item, price, at FROM placed WHERE place = 1""",
        "matched": f"SELECT {at('l.w')}, l.price, r.price FROM {BIDS} JOIN {ASKS} {JOINED}",
        "all_of_both": f"SELECT {at('COALESCE(l.w, r.w)')}, l.price, r.price FROM {BIDS} FULL JOIN {ASKS} {JOINED}",
        "all_bids": f"SELECT {at('l.w')}, l.price, r.price FROM {BIDS} LEFT JOIN {ASKS} {JOINED} AND r.price <= l.price",
        "all_asks": f"SELECT {at('r.w')}, l.price, r.price FROM {BIDS} RIGHT JOIN {ASKS} {JOINED}",
        "answered": f"SELECT {at('l.w')}, l.item, l.price FROM {BIDS} WHERE EXISTS (SELECT 1 FROM {ASKS} WHERE l.item = r.item AND l.w = r.w)",
        "unanswered":
            f"SELECT {at('l.w')}, l.item, l.price FROM {BIDS} WHERE NOT EXISTS (SELECT 1 FROM {ASKS} WHERE l.item = r.item AND l.w = r.w)",
    },
    "over": {
        "moving": f"""
            SELECT device, ts, temp,
              ROW_NUMBER() OVER w, SUM(temp) OVER w,
              AVG(temp) OVER (PARTITION BY device ORDER BY ts, temp ROWS BETWEEN 2 PRECEDING AND CURRENT ROW),
              MAX(temp) OVER (PARTITION BY device ORDER BY {S} RANGE BETWEEN 10 PRECEDING AND CURRENT ROW),
              COUNT(*) OVER (PARTITION BY device ORDER BY {S} RANGE BETWEEN 10 PRECEDING AND CURRENT ROW),
              temp - LAG(temp) OVER w, LAG(temp, 2, -1.0) OVER w
            FROM readings WHERE temp IS NOT NULL WINDOW w AS (PARTITION BY device ORDER BY ts, temp)""",
        "spans": """
            SELECT device, ts, LEAD(ts) OVER w, LEAD(temp, 1, 0.0) OVER w,
              SUM(temp) OVER (PARTITION BY device ORDER BY ts, temp ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)
            FROM readings WINDOW w AS (PARTITION BY device ORDER BY ts, temp)""",
        "ranked": """
            SELECT device, ts, RANK() OVER (PARTITION BY device ORDER BY ts),
              DENSE_RANK() OVER (PARTITION BY device ORDER BY ts),
              FIRST_VALUE(temp) OVER (PARTITION BY device ORDER BY ts, temp ROWS BETWEEN 3 PRECEDING AND CURRENT ROW),
              NTH_VALUE(temp, 2) OVER (PARTITION BY device ORDER BY ts, temp ROWS UNBOUNDED PRECEDING)
            FROM readings""",
        "rising": """
            SELECT device, strftime('%Y-%m-%d %H:%M:00', ts) AS minute, SUM(coalesce(rise > 0, 0))
            FROM (SELECT device, ts, temp - LAG(temp) OVER (PARTITION BY device ORDER BY ts, temp) AS rise FROM readings)
            GROUP BY 1, 2""",
    },
    "over_updating": {
        "standings": """
            WITH players AS (SELECT player, SUM(points) AS points FROM throws GROUP BY player)
            SELECT player, points, RANK() OVER (ORDER BY points DESC NULLS FIRST), DENSE_RANK() OVER (ORDER BY points DESC NULLS FIRST),
              LAG(points) OVER w - points, SUM(points) OVER (w ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING),
              COUNT(*) OVER (ORDER BY points NULLS LAST RANGE BETWEEN 10 PRECEDING AND 10 FOLLOWING)
            FROM players WINDOW w AS (ORDER BY points DESC NULLS FIRST, player)""",
        "shares": """
            WITH players AS (SELECT team, player, SUM(points) AS points FROM throws GROUP BY team, player)
            SELECT team, player, points, SUM(points) OVER (PARTITION BY team),
              SUM(points) OVER (PARTITION BY team ORDER BY points DESC NULLS FIRST, player ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING),
              ROW_NUMBER() OVER (PARTITION BY team ORDER BY points NULLS LAST, player)
            FROM players""",
        "newest_first": f"""
            SELECT team, player, points, ts, ROW_NUMBER() OVER w, FIRST_VALUE(ts) OVER (w ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING),
              MAX(points) OVER (PARTITION BY team ORDER BY {S} DESC RANGE BETWEEN CURRENT ROW AND 10 FOLLOWING),
              SUM(points) OVER (PARTITION BY team ORDER BY points NULLS LAST)
            FROM throws WINDOW w AS (PARTITION BY team ORDER BY ts DESC, player, points NULLS LAST)""",
    },
    "grouping_sets": {
        "per_minute": " UNION ALL ".join(
            f"SELECT strftime('%Y-%m-%d %H:%M:00', ts) AS minute, {shop}, {item}, {sets}, SUM(price), COUNT(*) FROM sales GROUP BY {by}"
            for shop, item, sets, by in [
                ("shop", "NULL", 1, "1, 2"), ("NULL", "item", 2, "1, 3"), ("NULL", "NULL", 3, "1")]),
        "so_far": " UNION ALL ".join(
            f"SELECT {shop}, {item}, {any_item}, SUM(amount), MAX(price) FROM sales {by}"
            for shop, item, any_item, by in [
                ("shop", "item", 0, "GROUP BY 1, 2"), ("shop", "NULL", 1, "GROUP BY 1"), ("NULL", "NULL", 1, "")]),
        "cubed": " UNION ALL ".join(
            f"SELECT {shop}, {item}, COUNT(*), COUNT(DISTINCT amount) FROM sales {by} HAVING COUNT(*) > 1"
            for shop, item, by in [
                ("shop", "item", "GROUP BY 1, 2"), ("shop", "NULL", "GROUP BY 1"), ("NULL", "item", "GROUP BY 2"),
                ("NULL", "NULL", "GROUP BY 1")]),
    },
    "emission": {
        name: f"""
            SELECT device, strftime('%Y-%m-%d %H:%M:00', ts) AS minute, COUNT(*), SUM(temp) FROM sensors
            WHERE temp < {below} GROUP BY 1, 2"""
        for name, below in [("early", 100), ("paced", 100), ("forgiving", 200)]
    } | {"too_late": "SELECT device, ts, temp FROM sensors WHERE temp >= 200"},
    "changing_windows": {
        "corrected": f"""
            SELECT strftime('%Y-%m-%d %H:%M:00', ts) AS minute, shop, COUNT(*), SUM(amount), MIN(amount), MAX(amount)
            FROM {NEWEST_ORDERS} GROUP BY 1, 2""",
        "shops": f"""
            SELECT {at('w')}, COUNT(DISTINCT shop), SUM(coalesce(amount > 5, 0))
            FROM (SELECT o.*, {S} / 30 * 30 + n.value * 30 AS w FROM {NEWEST_ORDERS} o, generate_series_0 n WHERE n.value IN (1, 2))
            GROUP BY w""",
        "best_shops": f"""
            SELECT minute, shop, total FROM (
              SELECT *, ROW_NUMBER() OVER (PARTITION BY minute ORDER BY total DESC NULLS FIRST, shop) AS place FROM (
                SELECT strftime('%Y-%m-%d %H:%M:00', ts) AS minute, shop, SUM(amount) AS total FROM {NEWEST_ORDERS} GROUP BY 1, 2))
            WHERE place = 1""",
        "dearest_orders": f"""
            SELECT minute, shop, id, amount FROM (
              SELECT *, strftime('%Y-%m-%d %H:%M:00', ts) AS minute,
                ROW_NUMBER() OVER (PARTITION BY strftime('%Y-%m-%d %H:%M:00', ts), shop ORDER BY amount DESC NULLS FIRST, id) AS place
              FROM {NEWEST_ORDERS})
            WHERE place = 1""",
    },
    "ordered_windows": {
        "threes": f"""
            WITH {ORDERED} SELECT rack, MIN(ts), MAX(ts), COUNT(*), SUM(volts) FROM ordered
            GROUP BY rack, (n - 1) / 3 HAVING COUNT(*) = 3""",
        "last_four": f"""
            WITH {ORDERED} SELECT e.rack, e.ts, AVG(o.volts), SUM(coalesce(o.state = 'charging', 0))
            FROM ordered e JOIN ordered o ON o.rack = e.rack AND o.n BETWEEN e.n - 3 AND e.n
            WHERE e.n % 2 = 0 AND e.n >= 4 GROUP BY e.rack, e.n""",
        "pairs": """
            WITH ordered AS (
              SELECT *, ROW_NUMBER() OVER (ORDER BY ts, rack, state, volts) AS n FROM cells WHERE state <> 'idle')
            SELECT MAX(ts), MAX(volts) FROM ordered GROUP BY (n - 1) / 2 HAVING COUNT(*) = 2""",
        "charges": f"""
            WITH RECURSIVE {ORDERED}, charge(rack, first, last) AS (
              SELECT rack, MIN(n), {NEXT.format(after="MIN(b.n)", rack="b.rack", state="discharging")}
              FROM ordered b WHERE state = 'charging' GROUP BY rack
              UNION ALL
              SELECT b.rack, b.n, {NEXT.format(after="b.n", rack="b.rack", state="discharging")}
              FROM charge c JOIN ordered b ON b.rack = c.rack
                AND b.n = {NEXT.format(after="c.last", rack="c.rack", state="charging")})
            SELECT c.rack, MIN(o.ts), MAX(o.ts), COUNT(*), MAX(o.volts) - MIN(o.volts)
            FROM charge c JOIN ordered o ON o.rack = c.rack AND o.n BETWEEN c.first AND c.last GROUP BY c.rack, c.first""",
        "rounds": f"""
            WITH {ORDERED}, rest AS (
              SELECT rack, ts, n, LEAD(n) OVER (PARTITION BY rack ORDER BY n) AS next, LEAD(ts) OVER (PARTITION BY rack ORDER BY n) AS until
              FROM ordered WHERE state = 'idle' AND volts > 0)
            SELECT r.rack, r.ts, r.until, COUNT(*), SUM(o.volts)
            FROM rest r JOIN ordered o ON o.rack = r.rack AND o.n >= r.n AND o.n < r.next GROUP BY r.rack, r.n""",
        "highest": f"""
            WITH {ORDERED}, placed AS (
              SELECT *, COUNT(*) OVER w AS own, ROW_NUMBER() OVER (PARTITION BY rack, (n - 1) / 3 ORDER BY volts DESC, ts) AS nth
              FROM ordered WINDOW w AS (PARTITION BY rack, (n - 1) / 3))
            SELECT rack, ts, volts FROM placed WHERE own = 3 AND nth = 1""",
    },
    "nested": {
        "points": "SELECT device, value FROM batches, json_each(temps)",
        "elements": "SELECT device, value FROM batches, json_each(temps) WHERE value > 1",
        "numbered": "SELECT device, value, key + 1 FROM batches LEFT JOIN json_each(temps) ON TRUE",
        "ends": """
            WITH ends AS (SELECT device, MIN(value) AS low, MAX(value) AS high FROM batches, json_each(temps) GROUP BY batches.rowid)
            SELECT device, 'low', low FROM ends WHERE low > 2 UNION ALL SELECT device, 'high', high FROM ends WHERE high > 2""",
        "corners": """
            WITH corners AS (SELECT device, json_extract(temps, '$[0]') AS first, json_extract(temps, '$[#-1]') AS last FROM batches)
            SELECT device, 'first', first, 1 FROM corners WHERE first IS NOT NULL
            UNION ALL SELECT device, 'last', last, 2 FROM corners WHERE last IS NOT NULL""",
        "peaks": """
            SELECT strftime('%Y-%m-%d %H:%M:00', ts) AS minute, COUNT(value), MAX(value)
            FROM batches, json_each(temps) GROUP BY 1""",
    },
    "temporal": {
        "converted": f"""
            SELECT o.id, o.ts, r.ts, o.amount * r.rate FROM orders o JOIN rates r ON {valid()} WHERE r.open AND o.amount > 1""",
        "all_orders": f"SELECT o.id, r.rate FROM orders o LEFT JOIN rates r ON {valid()} AND r.rate < 2.0",
        "asof_orders": f"SELECT o.id, r.ts FROM orders o LEFT JOIN rates r ON {valid('<')}",
        "matched_orders": f"SELECT o.id, r.rate FROM orders o LEFT JOIN rates r ON {valid()}",
        "next_orders": f"SELECT o.id, r.ts, r.rate FROM orders o LEFT JOIN rates r ON {following()}",
        "later_orders": f"SELECT o.id, r.ts FROM orders o JOIN rates r ON {following('>')}",
        "settled": f"""
            SELECT strftime('%Y-%m-%d %H:%M:00', r.ts) AS minute, SUM(o.amount)
            FROM orders o JOIN rates r ON {following()} GROUP BY 1""",
        "per_minute_euros": f"""
            SELECT strftime('%Y-%m-%d %H:%M:00', o.ts) AS minute, SUM(o.amount * r.rate)
            FROM orders o JOIN rates r ON {valid()} GROUP BY 1""",
    },
}


def statements(name):
    text = (FOLDER / f"{name}.sql").read_text()
    text = re.sub(r"--[^\n]*", "", text)
    return [statement.strip() for statement in text.split(";") if statement.strip()]


def database(name):
    base = sqlite3.connect(":memory:")
    base.execute("CREATE TABLE generate_series_0 AS WITH n (value) AS (VALUES (0) UNION ALL SELECT value + 1 FROM n WHERE value < 20) SELECT * FROM n")
    for statement in statements(name):
        stream = re.match(r"CREATE STREAM (\w+) \((.*)\)", statement, re.S)
        if stream and "WATERMARK" in statement:
            columns = re.findall(r"(\w+) (STRING|BIGINT|DOUBLE|TIMESTAMP|BOOLEAN|ARRAY)", stream.group(2))
            kinds = {"STRING": "TEXT", "BIGINT": "INTEGER", "DOUBLE": "REAL", "TIMESTAMP": "TEXT", "BOOLEAN": "INTEGER", "ARRAY": "TEXT"}
            columns = ", ".join(f"{column} {kinds[kind]}" for column, kind in columns)
            base.execute(f"CREATE TABLE {stream.group(1)} ({columns})")
        elif statement.startswith("INSERT INTO") and "VALUES" in statement:
            # Lists are JSON there.
            lists = re.sub(r"(\[[^\]]*\])", lambda found: f"'{found.group(1).replace('NULL', 'null')}'", statement)
            base.execute(lists)
    return base


def cell(value):
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(value)
    # Timestamps as the engine prints them.
    return re.sub(r"^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.000)?(\.\d+)?$", lambda at: f"{at[1]}T{at[2]}{at[3] or ''}", str(value))


def main():
    write = "--write" in sys.argv
    differs = False
    for name, queries in QUERIES.items():
        base = database(name)
        for relation, query in queries.items():
            rows = sorted([cell(value) for value in row] for row in base.execute(query))
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows(rows)
            path = FOLDER / "expected" / f"{relation}.csv"
            if write:
                path.write_text(text.getvalue())
            elif path.read_text() != text.getvalue():
                print(f"{path} differs")
                differs = True
    sys.exit(differs)


if __name__ == "__main__":
    main()
