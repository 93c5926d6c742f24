-- One server more when the CPU is over 70 % twice in a row, one fewer when it is under 50 %; at least one, at most two, and three
-- minutes of rest after each change. Nobody carries the decisions out: actuator = dry_run.

CREATE SCALING POLICY IF NOT EXISTS add_one ON ALARM cpu_high
WITH (type = simple, adjustment = ChangeInCapacity, by = 1);

CREATE SCALING POLICY IF NOT EXISTS remove_one ON ALARM cpu_low
WITH (type = simple, adjustment = ChangeInCapacity, by = -1);

CREATE SCALING GROUP IF NOT EXISTS servers POLICIES (add_one, remove_one)
WITH (min = 1, max = 2, desired = 1, cooldown = '180 s', actuator = dry_run);
