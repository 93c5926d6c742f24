import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;

import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.Table;
import org.apache.flink.table.api.TableDescriptor;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;
import org.apache.flink.types.Row;
import org.apache.flink.util.CloseableIterator;

/**
 * Runs one query of Nexmark in Flink, in this process, until its last row: Nexmark TABLES.sql QUERY.sql EVENTS WORKERS CHECKPOINTS FILES [print].
 * FILES is the folder of what a query reads beside the tables. The rows go to Flink's connector 'blackhole', or with 'print' the changes go to standard output.
 */
public final class Nexmark {
    public static void main(String[] args) throws Exception {
        int workers = Integer.parseInt(args[3]);
        Configuration settings = Configuration.fromMap(Map.ofEntries(
            Map.entry("parallelism.default", Integer.toString(workers)),
            Map.entry("execution.checkpointing.interval", "10 s"),
            Map.entry("execution.checkpointing.mode", "EXACTLY_ONCE"),
            Map.entry("execution.checkpointing.storage", "filesystem"),
            Map.entry("execution.checkpointing.dir", Path.of(args[4]).toUri().toString()),
            Map.entry("state.backend.type", "hashmap"),
            Map.entry("pipeline.object-reuse", "true"),
            Map.entry("table.local-time-zone", "UTC"),
            Map.entry("table.exec.mini-batch.enabled", "true"),
            Map.entry("table.exec.mini-batch.allow-latency", "2 s"),
            Map.entry("table.exec.mini-batch.size", "50000"),
            Map.entry("table.optimizer.distinct-agg.split.enabled", "true"),
            Map.entry("taskmanager.network.memory.fraction", "0.2"),
            Map.entry("taskmanager.memory.managed.size", "256m"),
            Map.entry("taskmanager.numberOfTaskSlots", Integer.toString(workers))));
        TableEnvironment flink = TableEnvironment.create(
            EnvironmentSettings.newInstance().inStreamingMode().withConfiguration(settings).build());
        String tables = plain(args[0])
            .replace("'10000'", "'" + args[2] + "'")
            .replace("'100'", "'10000'")
            .replace("'table' =", "'readers' = '" + workers + "', 'table' =");
        for (String statement : tables.split(";")) {
            prepare(flink, statement);
        }
        // A query's file holds what it needs, and then the query.
        String[] statements = plain(args[1])
            .replace("'connector' = 'filesystem', 'path' = 'side_input", "'connector' = 'side-input', 'path' = 'side_input")
            .replace("'path' = '", "'path' = '" + args[5] + "/")
            .split(";");
        for (String statement : Arrays.copyOf(statements, statements.length - 1)) {
            prepare(flink, statement);
        }
        String last = statements[statements.length - 1];
        if (last.contains("INSERT INTO")) {
            flink.executeSql(last).await();
            return;
        }
        Table query = flink.sqlQuery(last);
        if (args.length > 6) {
            TableResult result = query.execute();
            try (CloseableIterator<Row> rows = result.collect()) {
                rows.forEachRemaining(System.out::println);
            }
        } else {
            query.insertInto(TableDescriptor.forConnector("blackhole").build()).execute().await();
        }
    }

    /** A file without comments, in which options have quotes around their names, too. */
    private static String plain(String file) throws IOException {
        return Files.readString(Path.of(file))
            .replaceAll("(?m)^--.*$", "")
            .replaceAll("([(,] *)([a-z]+) = '", "$1'$2' = '");
    }

    private static void prepare(TableEnvironment flink, String statement) {
        if (statement.contains("FUNCTION IF NOT EXISTS count_char")) {
            flink.createTemporarySystemFunction("count_char", CountChar.class);
        } else if (!statement.isBlank()) {
            flink.executeSql(statement);
        }
    }
}
