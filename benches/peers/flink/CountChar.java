import org.apache.flink.table.functions.ScalarFunction;

/** The function count_char of q14: how often a letter is in a text. */
public final class CountChar extends ScalarFunction {
    public long eval(String text, String letter) {
        char wanted = letter.charAt(0);
        return text.chars().filter(each -> each == wanted).count();
    }
}
