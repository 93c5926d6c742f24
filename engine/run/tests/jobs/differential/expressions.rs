//! Expressions of one type over columns of one or two relations. None of them can fail, whatever the rows are, and none rounds: so it does
//! not matter where and in what order they are evaluated.

use headwater_core::world::sim::SimRandom;

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Int,
    /// Multiples of a quarter, of which sums are exact.
    Double,
    Bool,
    Time,
    Date,
}

use Kind::{Bool, Date, Double, Int, Text, Time};

impl Kind {
    /// How it is spelled.
    pub fn sql(self) -> &'static str {
        match self {
            Text => "STRING",
            Int => "BIGINT",
            Double => "DOUBLE",
            Bool => "BOOLEAN",
            Time => "TIMESTAMP(3)",
            Date => "DATE",
        }
    }

    pub fn any(random: &SimRandom) -> Self {
        [Text, Int, Int, Double, Bool, Time, Date][random.index(7)]
    }
}

/// A column of one of the relations that an expression is over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Column {
    /// 0 for the left or only relation.
    pub side: usize,
    pub index: usize,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    Column(Column),
    Literal(Kind, String),
    /// A text in which `$0` and so on stand for the arguments.
    Form {
        kind: Kind,
        text: &'static str,
        args: Vec<Expr>,
    },
}

/// The result's type, the text, and the arguments' types.
type Form = (Kind, &'static str, &'static [Kind]);

/// DataFusion calls a cast by the name of what is cast, so that the two cannot stand side by side: casts are parts of something.
const FORMS: &[Form] = &[
    (Int, "$0 + $1", &[Int, Int]),
    (Int, "$0 - $1", &[Int, Int]),
    (Int, "($0 % 100) * ($1 % 100)", &[Int, Int]),
    (Int, "$0 / 2", &[Int]),
    (Int, "mod($0, 3)", &[Int]),
    (Int, "abs($0)", &[Int]),
    (Int, "coalesce($0, $1)", &[Int, Int]),
    (Int, "nullif($0, $1)", &[Int, Int]),
    (Int, "greatest($0, $1)", &[Int, Int]),
    (Int, "least($0, $1)", &[Int, Int]),
    (Int, "CASE WHEN $0 THEN $1 ELSE $2 END", &[Bool, Int, Int]),
    (Int, "CASE $0 WHEN 1 THEN 10 WHEN 2 THEN $1 END", &[Int, Int]),
    (Int, "CAST(character_length($0) AS BIGINT)", &[Text]),
    (Int, "CAST(strpos($0, 'a') AS BIGINT)", &[Text]),
    (Int, "TRY_CAST($0 AS BIGINT) + 0", &[Text]),
    (Int, "CAST($0 AS BIGINT) + 0", &[Bool]),
    (Int, "MINUTE($0)", &[Time]),
    (Int, "SECOND($0)", &[Time]),
    (Int, "CAST(extract(day FROM $0) AS BIGINT)", &[Date]),
    (Text, "$0 || $1", &[Text, Text]),
    (Text, "concat($0, '-', $1)", &[Text, Text]),
    (Text, "upper($0)", &[Text]),
    (Text, "lower($0)", &[Text]),
    (Text, "trim($0)", &[Text]),
    (Text, "reverse($0)", &[Text]),
    (Text, "substr($0, 1, 1)", &[Text]),
    (Text, "left($0, 2)", &[Text]),
    (Text, "lpad($0, 3, '.')", &[Text]),
    (Text, "replace($0, 'a', 'b')", &[Text]),
    (Text, "coalesce($0, $1)", &[Text, Text]),
    (Text, "nullif($0, $1)", &[Text, Text]),
    (Text, "CASE WHEN $0 THEN $1 ELSE $2 END", &[Bool, Text, Text]),
    (Text, "CAST($0 AS STRING) || ''", &[Int]),
    (Text, "SPLIT_INDEX($0, '-', 0)", &[Text]),
    (Text, "REGEXP_EXTRACT($0, '([a-c])', 1)", &[Text]),
    (Text, "DATE_FORMAT($0, 'HH:mm')", &[Time]),
    (Text, "CAST($0 AS STRING) || ''", &[Date]),
    (Double, "$0 + $1", &[Double, Double]),
    (Double, "$0 - $1", &[Double, Double]),
    (Double, "abs($0)", &[Double]),
    (Double, "floor($0)", &[Double]),
    (Double, "coalesce($0, $1)", &[Double, Double]),
    (Double, "greatest($0, $1)", &[Double, Double]),
    (Double, "CAST($0 AS DOUBLE) + 0.0", &[Int]),
    (Double, "CASE WHEN $0 THEN $1 END", &[Bool, Double]),
    (Bool, "$0 < $1", &[Int, Int]),
    (Bool, "$0 <= $1", &[Double, Double]),
    (Bool, "$0 <= $1", &[Int, Double]),
    (Bool, "$0 > $1", &[Text, Text]),
    (Bool, "$0 >= $1", &[Time, Time]),
    (Bool, "$0 < $1", &[Date, Date]),
    (Bool, "$0 = $1", &[Int, Int]),
    (Bool, "$0 = $1", &[Text, Text]),
    (Bool, "$0 <> $1", &[Text, Text]),
    (Bool, "$0 IS DISTINCT FROM $1", &[Int, Int]),
    (Bool, "$0 IS NOT DISTINCT FROM $1", &[Text, Text]),
    (Bool, "$0 IS NULL", &[Text]),
    (Bool, "$0 IS NOT NULL", &[Int]),
    (Bool, "$0 IS NOT NULL", &[Double]),
    (Bool, "$0 IS TRUE", &[Bool]),
    (Bool, "$0 AND $1", &[Bool, Bool]),
    (Bool, "$0 OR $1", &[Bool, Bool]),
    (Bool, "NOT $0", &[Bool]),
    (Bool, "coalesce($0, false)", &[Bool]),
    (Bool, "$0 LIKE 'a%'", &[Text]),
    (Bool, "$0 IN ('a', 'b', 'ab')", &[Text]),
    (Bool, "$0 NOT IN (1, 3)", &[Int]),
    (Bool, "$0 BETWEEN 2 AND 5", &[Int]),
    (Bool, "starts_with($0, 'a')", &[Text]),
    (Time, "coalesce($0, $1)", &[Time, Time]),
    (Time, "greatest($0, $1)", &[Time, Time]),
    (Time, "CAST(date_trunc('minute', $0) AS TIMESTAMP(3))", &[Time]),
    (Time, "$0 + INTERVAL '5' SECOND", &[Time]),
    (Time, "CASE WHEN $0 THEN $1 END", &[Bool, Time]),
    (Date, "coalesce($0, $1)", &[Date, Date]),
    (Date, "CAST(date_trunc('day', $0) AS DATE)", &[Time]),
    (Date, "CASE WHEN $0 THEN $1 END", &[Bool, Date]),
];

impl Expr {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Column(column) => column.kind,
            Self::Literal(kind, _) | Self::Form { kind, .. } => *kind,
        }
    }

    pub fn has_column(&self) -> bool {
        match self {
            Self::Column(_) => true,
            Self::Literal(..) => false,
            Self::Form { args, .. } => args.iter().any(Self::has_column),
        }
    }

    /// The columns in it, each with its side.
    pub fn columns(&self, all: &mut Vec<(usize, usize)>) {
        match self {
            Self::Column(column) => all.push((column.side, column.index)),
            Self::Literal(..) => {}
            Self::Form { args, .. } => args.iter().for_each(|arg| arg.columns(all)),
        }
    }

    /// Its text, with the relations under these names.
    pub fn text(&self, aliases: &[&str]) -> String {
        match self {
            Self::Column(Column { side, index, .. }) => format!("{}.c{index}", aliases[*side]),
            Self::Literal(_, text) => text.clone(),
            Self::Form { text, args, .. } => fill(text, args, aliases),
        }
    }

    /// Any expression of a type over these columns.
    pub fn any(random: &SimRandom, kind: Kind, columns: &[Column], depth: u32) -> Self {
        let own: Vec<&Column> = columns.iter().filter(|column| column.kind == kind).collect();
        if depth == 0 || random.chance(1, 3) {
            return match own.is_empty() || random.chance(1, 6) {
                true => Self::literal(random, kind),
                false => Self::Column(*own[random.index(own.len())]),
            };
        }
        let forms: Vec<&Form> = FORMS.iter().filter(|form| form.0 == kind).collect();
        let &(_, text, args) = forms[random.index(forms.len())];
        let args = args.iter().map(|kind| Self::any(random, *kind, columns, depth - 1)).collect();
        Self::Form { kind, text, args }
    }

    /// One that some column takes part in, if there is a column of the type.
    pub fn over_columns(random: &SimRandom, kind: Kind, columns: &[Column], depth: u32) -> Self {
        let any = Self::any(random, kind, columns, depth);
        let own: Vec<&Column> = columns.iter().filter(|column| column.kind == kind).collect();
        match any.has_column() || own.is_empty() {
            true => any,
            false => Self::Column(*own[random.index(own.len())]),
        }
    }

    pub fn literal(random: &SimRandom, kind: Kind) -> Self {
        if random.chance(1, 8) {
            return Self::null(kind);
        }
        let choices: &[&str] = match kind {
            Text => &["'a'", "'b'", "'ab'", "''", "'a-b'"],
            Int => &["0", "1", "2", "5", "-3"],
            Double => &["0.5", "1.25", "-1.5", "3.0"],
            Bool => &["true", "false"],
            Time => &[
                "CAST('1970-01-01 00:00:20' AS TIMESTAMP(3))",
                "CAST('1970-01-01 00:01:00' AS TIMESTAMP(3))",
            ],
            Date => &["DATE '2026-03-01'", "DATE '2026-03-02'"],
        };
        Self::Literal(kind, choices[random.index(choices.len())].to_owned())
    }

    pub fn null(kind: Kind) -> Self {
        Self::Literal(kind, format!("CAST(NULL AS {})", kind.sql()))
    }

    /// Simpler expressions of the same type.
    pub fn simpler(&self) -> Vec<Self> {
        let Self::Form { kind, text, args } = self else { return Vec::new() };
        let mut all: Vec<Self> = args.iter().filter(|arg| arg.kind() == *kind).cloned().collect();
        all.push(Self::null(*kind));
        if *kind == Bool {
            all.push(Self::Literal(Bool, "true".to_owned()));
        }
        for (nth, arg) in args.iter().enumerate() {
            for simpler in arg.simpler() {
                let mut args = args.clone();
                args[nth] = simpler;
                all.push(Self::Form { kind: *kind, text, args });
            }
        }
        all
    }
}

/// A text with its arguments in place, in parentheses where they are no names.
pub fn fill(text: &str, args: &[Expr], aliases: &[&str]) -> String {
    let mut filled = text.to_owned();
    for (nth, arg) in args.iter().enumerate() {
        let own = arg.text(aliases);
        let own = if matches!(arg, Expr::Form { .. }) { format!("({own})") } else { own };
        filled = filled.replace(&format!("${nth}"), &own);
    }
    filled
}
