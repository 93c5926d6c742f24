import java.util.Set;

import org.apache.flink.api.connector.source.util.ratelimit.RateLimiterStrategy;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.connector.datagen.source.DataGeneratorSource;
import org.apache.flink.connector.datagen.source.GeneratorFunction;
import org.apache.flink.table.connector.ChangelogMode;
import org.apache.flink.table.connector.source.DynamicTableSource;
import org.apache.flink.table.connector.source.ScanTableSource;
import org.apache.flink.table.connector.source.SourceProvider;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.factories.DynamicTableSourceFactory;
import org.apache.flink.table.factories.FactoryUtil;
import org.apache.flink.table.runtime.typeutils.InternalTypeInfo;

/** The connector 'nexmark' for Flink, with the options of Headwater's. */
public final class NexmarkFactory implements DynamicTableSourceFactory {
    private static final ConfigOption<String> TABLE = ConfigOptions.key("table").stringType().noDefaultValue();
    private static final ConfigOption<Long> EVENTS = ConfigOptions.key("events.num").longType().noDefaultValue();
    private static final ConfigOption<Double> RATE = ConfigOptions.key("first-event.rate").doubleType().defaultValue(10_000.0);
    private static final ConfigOption<String> START = ConfigOptions.key("start-time").stringType().noDefaultValue();
    private static final ConfigOption<Integer> READERS = ConfigOptions.key("readers").intType().defaultValue(1);

    @Override
    public String factoryIdentifier() {
        return "nexmark";
    }

    @Override
    public Set<ConfigOption<?>> requiredOptions() {
        return Set.of(TABLE, EVENTS, START);
    }

    @Override
    public Set<ConfigOption<?>> optionalOptions() {
        return Set.of(RATE, READERS);
    }

    @Override
    public DynamicTableSource createDynamicTableSource(Context context) {
        FactoryUtil.TableFactoryHelper helper = FactoryUtil.createTableFactoryHelper(this, context);
        helper.validate();
        String table = helper.getOptions().get(TABLE);
        long rows = Events.rowsAmong(table, helper.getOptions().get(EVENTS));
        long start = java.time.Instant.parse(helper.getOptions().get(START)).toEpochMilli();
        Events events = new Events(helper.getOptions().get(RATE), start);
        int readers = helper.getOptions().get(READERS);
        InternalTypeInfo<RowData> type = InternalTypeInfo.of(context.getPhysicalRowDataType().getLogicalType());
        return new Source(table, events, rows, readers, type);
    }

    /** All columns of a table, in the order of the events whatever the number of readers. */
    private record Source(String table, Events events, long rows, int readers, InternalTypeInfo<RowData> type)
            implements ScanTableSource {
        @Override
        public ChangelogMode getChangelogMode() {
            return ChangelogMode.insertOnly();
        }

        @Override
        public ScanRuntimeProvider getScanRuntimeProvider(ScanContext context) {
            String table = this.table;
            Events events = this.events;
            // A reader is given a range of numbers; it makes every n-th row, so that the readers advance together in event time.
            if (rows % readers != 0) {
                throw new IllegalArgumentException(rows + " rows do not divide among " + readers + " readers");
            }
            long readers = this.readers, each = rows / readers;
            GeneratorFunction<Long, RowData> make =
                number -> events.row(table, number % each * readers + number / each);
            return SourceProvider.of(new DataGeneratorSource<>(make, rows, RateLimiterStrategy.noOp(), type));
        }

        @Override
        public DynamicTableSource copy() {
            return this;
        }

        @Override
        public String asSummaryString() {
            return "nexmark " + table;
        }
    }
}
