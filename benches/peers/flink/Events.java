import java.io.Serializable;

import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;

/**
 * The events of the auction, each from its number: value for value what Headwater's connector 'nexmark' makes
 * (connectors/src/nexmark/events.rs), so that both engines answer over the same rows.
 */
final class Events implements Serializable {
    private static final long PROPORTIONS = 50, AUCTIONS = 3;
    private static final long FIRST_PERSON = 1000, FIRST_AUCTION = 1000, FIRST_CATEGORY = 10, CATEGORIES = 5;
    private static final long ACTIVE_PEOPLE = 1000, OPEN_AUCTIONS = 100;
    private static final long HOT_AUCTION = 2, HOT_BIDDER = 4, HOT_SELLER = 4;
    private static final long CHANNELS = 10_000;
    private static final String[] STATES = {"AZ", "CA", "ID", "OR", "WA", "WY"};
    private static final String[] CITIES = {
        "Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent", "Cheyenne"
    };
    private static final String[] FIRST_NAMES = {
        "Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"
    };
    private static final String[] LAST_NAMES = {
        "Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"
    };
    private static final String[] HOT_CHANNELS = {"Google", "Facebook", "Baidu", "Apple"};

    private final double millisPerEvent;
    private final long start;

    /** @param perSecond events for each second of event time. @param start the time of event 0, in milliseconds. */
    Events(double perSecond, long start) {
        this.millisPerEvent = 1e9 / perSecond / 1e6;
        this.start = start;
    }

    /** How many rows of a table are among the first events. */
    static long rowsAmong(String table, long events) {
        return events / PROPORTIONS * share(table)
            + Math.min(Math.max(events % PROPORTIONS - first(table), 0), share(table));
    }

    /** A row of a table, all its columns. */
    RowData row(String table, long row) {
        long event = row / share(table) * PROPORTIONS + first(table) + row % share(table);
        switch (table) {
            case "person": return person(event);
            case "auction": return auctionRow(event);
            default: return bid(event);
        }
    }

    private static long share(String table) {
        return table.equals("person") ? 1 : table.equals("auction") ? AUCTIONS : PROPORTIONS - 1 - AUCTIONS;
    }

    private static long first(String table) {
        return table.equals("person") ? 0 : table.equals("auction") ? 1 : 1 + AUCTIONS;
    }

    private RowData person(long event) {
        String first = one(FIRST_NAMES, event, 0), last = one(LAST_NAMES, event, 1);
        long digits = Long.remainderUnsigned(random(event, 2), 10_000_000_000_000_000L);
        String card = four(digits / 1_000_000_000_000L) + " " + four(digits / 100_000_000) + " " + four(digits / 10_000)
            + " " + four(digits);
        return GenericRowData.of(personOf(event), text(first + " " + last), text(first + "@" + last + ".com"), text(card),
            text(one(CITIES, event, 3)), text(one(STATES, event, 4)), time(millis(event)), text(hex(random(event, 20))));
    }

    private RowData auctionRow(long event) {
        long initial = price(event, 7);
        long horizon = Math.max(millis(event + OPEN_AUCTIONS * PROPORTIONS / AUCTIONS) - millis(event), 1);
        long expires = millis(event) + 1 + below(event, 10, 2 * horizon);
        return GenericRowData.of(lastAuction(event), text(hex(random(event, 5))), text(hex(random(event, 6))), initial,
            initial + price(event, 8), time(millis(event)), time(expires), somebody(event, 9, HOT_SELLER, 0),
            FIRST_CATEGORY + below(event, 11, CATEGORIES), text(hex(random(event, 20))));
    }

    private RowData bid(long event) {
        boolean hot = below(event, 17, 2) > 0;
        String channel = hot ? one(HOT_CHANNELS, event, 18) : "channel-" + below(event, 18, CHANNELS);
        return GenericRowData.of(openAuction(event), somebody(event, 12, HOT_BIDDER, 1), price(event, 14), text(channel),
            text(url(event, hot)), time(millis(event)), text(hex(random(event, 20))));
    }

    private String url(long event, boolean hot) {
        long which = below(event, 18, CHANNELS);
        long place = mix(hot ? which % HOT_CHANNELS.length : which + 4);
        StringBuilder url = new StringBuilder(96).append("https://www.nexmark.com");
        for (int nth = 0; nth < 3; nth++) {
            url.append('/');
            digits(url, place >>> (nth * 20) & 0xf_ffff, 5);
        }
        url.append("/item.htm?query=1");
        if (!hot && which % 10 > 0) {
            url.append("&channel_id=").append(Long.remainderUnsigned(mix(which), 1L << 31));
        }
        return url.toString();
    }

    private long price(long event, long purpose) {
        double unit = (random(event, purpose) >>> 11) / (double) (1L << 53);
        return Math.round(Math.pow(10, unit * 6) * 100);
    }

    private long somebody(long event, long purpose, long hot, long offset) {
        long newest = personOf(event) - FIRST_PERSON;
        if (below(event, purpose, hot) > 0) {
            return FIRST_PERSON + newest / 100 * 100 + offset;
        }
        long active = Math.min(newest, ACTIVE_PEOPLE);
        return FIRST_PERSON + newest - active + below(event, purpose + 1, active + 1);
    }

    private long openAuction(long event) {
        long newest = lastAuction(event) - FIRST_AUCTION;
        if (below(event, 15, HOT_AUCTION) > 0) {
            return FIRST_AUCTION + newest / 100 * 100;
        }
        long oldest = Math.max(newest - OPEN_AUCTIONS, 0);
        return FIRST_AUCTION + oldest + below(event, 16, newest - oldest + 1);
    }

    private static long personOf(long event) {
        return FIRST_PERSON + event / PROPORTIONS;
    }

    private static long lastAuction(long event) {
        long epoch = event / PROPORTIONS, offset = event % PROPORTIONS;
        if (offset == 0) {
            return epoch == 0 ? FIRST_AUCTION : FIRST_AUCTION + epoch * AUCTIONS - 1;
        }
        return FIRST_AUCTION + epoch * AUCTIONS + Math.min(offset - 1, AUCTIONS - 1);
    }

    private long millis(long event) {
        return (long) (event * millisPerEvent);
    }

    private TimestampData time(long millis) {
        return TimestampData.fromEpochMillis(start + millis);
    }

    private static long random(long event, long purpose) {
        return mix(mix(event * 64 + purpose));
    }

    private static long below(long event, long purpose, long limit) {
        return Long.remainderUnsigned(random(event, purpose), Math.max(limit, 1));
    }

    private static String one(String[] choices, long event, long purpose) {
        return choices[(int) below(event, purpose, choices.length)];
    }

    /** The finisher of SplitMix64. */
    private static long mix(long number) {
        long z = number + 0x9E37_79B9_7F4A_7C15L;
        z = (z ^ z >>> 30) * 0xBF58_476D_1CE4_E5B9L;
        z = (z ^ z >>> 27) * 0x94D0_49BB_1331_11EBL;
        return z ^ z >>> 31;
    }

    private static StringData text(String text) {
        return StringData.fromString(text);
    }

    private static String hex(long number) {
        StringBuilder into = new StringBuilder(16);
        digits(into, number, 16);
        return into.toString();
    }

    private static void digits(StringBuilder into, long number, int count) {
        for (int nth = count - 1; nth >= 0; nth--) {
            into.append(Character.forDigit((int) (number >>> (nth * 4)) & 15, 16));
        }
    }

    private static String four(long number) {
        String digits = Long.toString(number % 10_000);
        return "0000".substring(digits.length()) + digits;
    }
}
