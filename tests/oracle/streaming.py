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


QUERIES = {
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
        for name, below in [("early", 100), ("forgiving", 200)]
    },
    "nested": {
        "points": "SELECT device, value FROM batches, json_each(temps)",
        "peaks": """
            SELECT strftime('%Y-%m-%d %H:%M:00', ts) AS minute, COUNT(*), MAX(value)
            FROM batches, json_each(temps) GROUP BY 1""",
    },
    "temporal": {
        "converted": f"""
            SELECT o.id, o.ts, r.ts, o.amount * r.rate FROM orders o JOIN rates r ON {valid()} WHERE r.open AND o.amount > 1""",
        "all_orders": f"SELECT o.id, r.rate FROM orders o LEFT JOIN rates r ON {valid()} AND r.rate < 2.0",
        "asof_orders": f"SELECT o.id, r.ts FROM orders o LEFT JOIN rates r ON {valid('<')}",
        "matched_orders": f"SELECT o.id, r.rate FROM orders o LEFT JOIN rates r ON {valid()}",
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
    for statement in statements(name):
        stream = re.match(r"CREATE STREAM (\w+) \((.*)\)", statement, re.S)
        if stream and "WATERMARK" in statement:
            columns = re.findall(r"(\w+) (STRING|BIGINT|DOUBLE|TIMESTAMP|BOOLEAN|ARRAY)", stream.group(2))
            kinds = {"STRING": "TEXT", "BIGINT": "INTEGER", "DOUBLE": "REAL", "TIMESTAMP": "TEXT", "BOOLEAN": "INTEGER", "ARRAY": "TEXT"}
            columns = ", ".join(f"{column} {kinds[kind]}" for column, kind in columns)
            base.execute(f"CREATE TABLE {stream.group(1)} ({columns})")
        elif statement.startswith("INSERT INTO") and "VALUES" in statement:
            # Lists are JSON there.
            base.execute(re.sub(r"(\[[^\]]*\])", r"'\1'", statement))
    return base


def cell(value):
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(value)
    # Timestamps as the engine prints them.
    return re.sub(r"^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)$", r"\1T\2", str(value))


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
