//! `CREATE TABLE ... LIKE other (INCLUDING ..., EXCLUDING ..., OVERWRITING ...)`, as Flink has it.
//!
//! What the other table is, the catalog knows to which the statement is applied; then the two become one draft, which is built as if all of
//! it had been written. The columns of the other table come first.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::columns::{Columns, WrittenWatermark};
use super::options::Given;
use super::reader::Reader;
use super::tables::Draft;
use crate::catalog::Catalog;
use crate::definition::StreamDef;
use crate::error::{Mistake, Result, SqlError};
use crate::statement::{CreateStream, Name, Statement};

/// What a draft is like, and what it takes over from that.
#[derive(Debug, Clone)]
pub(crate) struct Like {
    source: Name,
    draft: Draft,
    rules: Rules,
}

/// What is done with something that the other table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Merge {
    /// It is taken over; having both is a mistake.
    Including,
    /// It is left out.
    Excluding,
    /// It is taken over unless the table says something else itself.
    Overwriting,
}

#[derive(Debug, Clone, Copy)]
struct Rules {
    constraints: Merge,
    partitions: Merge,
    options: Merge,
    generated: Merge,
    watermarks: Merge,
    metadata: Merge,
}

const FEATURES: [&str; 7] =
    ["CONSTRAINTS", "PARTITIONS", "DISTRIBUTION", "OPTIONS", "GENERATED", "WATERMARKS", "METADATA"];

/// `LIKE other (...)`, and the definition as far as it is known.
pub(super) fn read_like(reader: &mut Reader, draft: Draft) -> Result<(StreamDef, Like)> {
    reader.expect_words("LIKE")?;
    let source = reader.name("a table")?;
    let rules = read_rules(reader)?;
    let unfinished = draft.unfinished();
    Ok((unfinished, Like { source, draft, rules }))
}

fn read_rules(reader: &mut Reader) -> Result<Rules> {
    let (mut all, mut given) = (None, Vec::new());
    if reader.take(&Token::LParen) {
        while !reader.take(&Token::RParen) {
            let merge = if reader.take_words("INCLUDING") {
                Merge::Including
            } else if reader.take_words("EXCLUDING") {
                Merge::Excluding
            } else if reader.take_words("OVERWRITING") {
                Merge::Overwriting
            } else {
                return Err(reader.expected("INCLUDING, EXCLUDING, OVERWRITING or ')'"));
            };
            if reader.take_words("ALL") {
                all = Some(merge);
                continue;
            }
            let feature = FEATURES.into_iter().find(|feature| reader.take_words(feature));
            let Some(feature) = feature else {
                return Err(reader.expected(&format!("ALL, {}", FEATURES.join(", "))));
            };
            given.push((feature, merge));
        }
    }
    // What is said of one thing is stronger than what is said of all.
    let rule = |feature: &str, usual: Merge| {
        let own = given.iter().find(|(named, _)| *named == feature).map(|(_, merge)| *merge);
        own.or(all).unwrap_or(usual)
    };
    Ok(Rules {
        constraints: rule("CONSTRAINTS", Merge::Including),
        partitions: rule("PARTITIONS", Merge::Including),
        options: rule("OPTIONS", Merge::Overwriting),
        generated: rule("GENERATED", Merge::Including),
        watermarks: rule("WATERMARKS", Merge::Including),
        metadata: rule("METADATA", Merge::Including),
    })
}

impl Like {
    /// The statement that says all of it, given what there is.
    pub(crate) fn resolve(&self, create: &CreateStream, catalog: &Catalog) -> Result<Statement> {
        let place = |error: SqlError| error.at(self.source.position, &self.draft.script);
        let source = catalog.stream(&self.source.value);
        let source = source.ok_or_else(|| place(catalog.unknown(&self.source, "stream or table")))?;
        let (mut definition, is_table) = self.merged(source).map_err(place)?.build()?;
        // What the script has set.
        let inherited = source.idle_timeout.filter(|_| self.rules.options != Merge::Excluding);
        definition.idle_timeout = definition.idle_timeout.or(create.definition.idle_timeout).or(inherited);
        let create = CreateStream { definition, like: None, ..create.clone() };
        Ok(if is_table { Statement::CreateTable(create) } else { Statement::CreateStream(create) })
    }

    /// Errors have no place yet.
    fn merged(&self, source: &StreamDef) -> Result<Draft> {
        let (rules, mut draft) = (self.rules, self.draft.clone());
        let at = self.source.position;
        let name = |value: &String| Name { value: value.clone(), position: at };
        let names = |values: &[String]| values.iter().map(name).collect::<Vec<_>>();
        let mut written_names = std::mem::take(&mut draft.written.columns.written_names);
        written_names.extend(source.written_names().map(str::to_owned));
        draft.written.columns = Columns { written_names, ..self.columns(source)? };
        let watermark = source.watermark.as_ref().map(|watermark| WrittenWatermark {
            column: name(&watermark.column),
            expr: watermark.expr.clone(),
            per: names(&watermark.per),
            uses: Vec::new(),
        });
        draft.written.watermark =
            one_of(rules.watermarks, watermark, draft.written.watermark, "a watermark", "WATERMARKS")?;
        let some = |names: Vec<Name>| Some(names).filter(|names| !names.is_empty());
        let (key, partition_by) = (some(names(&source.primary_key)), some(names(&source.partition_by)));
        let own = some(std::mem::take(&mut draft.written.key));
        draft.written.key =
            one_of(rules.constraints, key, own, "a PRIMARY KEY", "CONSTRAINTS")?.unwrap_or_default();
        let own = some(std::mem::take(&mut draft.partition_by));
        draft.partition_by =
            one_of(rules.partitions, partition_by, own, "PARTITIONED BY", "PARTITIONS")?.unwrap_or_default();
        let inherited = source.options.iter().map(|(key, value)| (name(key), value.clone(), at));
        draft.options = options(rules.options, inherited.collect(), draft.options)?;
        Ok(draft)
    }

    /// The columns of both.
    fn columns(&self, source: &StreamDef) -> Result<Columns> {
        let (rules, own) = (self.rules, &self.draft.written.columns);
        let mut columns = Columns::default();
        let schema = source.own_schema();
        for name in source.column_names() {
            let computed = source.computed.iter().find(|column| column.name == name);
            let from = source.metadata.get(&name);
            let rule = match (computed, from) {
                (Some(_), _) => rules.generated,
                (_, Some(_)) => rules.metadata,
                _ => Merge::Including,
            };
            let is_own = own.has(&name);
            match rule {
                Merge::Excluding => continue,
                Merge::Overwriting if is_own => continue,
                Merge::Including if is_own => return Err(twice(&format!("a column '{name}'"), "columns")),
                _ => {}
            }
            match computed {
                Some(column) => {
                    let place = columns.fields.len() + columns.computed.len();
                    columns.computed.push(crate::ComputedColumn { place, ..column.clone() });
                }
                None => {
                    let field = schema
                        .field_with_name(&name)
                        .map_err(|error| SqlError::new(Mistake::Definition, error.to_string()))?;
                    columns.fields.push(field.clone());
                    columns.metadata.extend(from.map(|from| (name.clone(), from.clone())));
                    columns.read_only.extend(source.read_only.get(&name).cloned());
                }
            }
        }
        if rules.generated != Merge::Excluding {
            columns.proctime.extend(source.proctime.iter().filter(|name| !own.has(name)).cloned());
        }
        let before = columns.fields.len() + columns.computed.len();
        columns.fields.extend(own.fields.iter().cloned());
        let computed = own.computed.iter().cloned();
        columns
            .computed
            .extend(computed.map(|one| crate::ComputedColumn { place: before + one.place, ..one }));
        columns.metadata.extend(own.metadata.clone());
        columns.read_only.extend(own.read_only.iter().cloned());
        columns.proctime.extend(own.proctime.iter().cloned());
        Ok(columns)
    }
}

fn twice(what: &str, feature: &str) -> SqlError {
    let error = SqlError::new(Mistake::Definition, format!("both tables have {what}"));
    match feature {
        "columns" => error.hint("leave the column out: it comes from the other table"),
        _ => error.hint(format!("LIKE ... (EXCLUDING {feature}) leaves out that of the other table")),
    }
}

/// What the other table has, or the table itself.
fn one_of<T>(
    rule: Merge,
    inherited: Option<T>,
    own: Option<T>,
    what: &str,
    feature: &str,
) -> Result<Option<T>> {
    match (rule, inherited, own) {
        (Merge::Excluding, _, own) => Ok(own),
        (Merge::Including, Some(_), Some(_)) => Err(twice(what, feature)),
        (_, inherited, own) => Ok(own.or(inherited)),
    }
}

fn options(rule: Merge, inherited: Vec<Given>, own: Vec<Given>) -> Result<Vec<Given>> {
    let is_own = |(key, ..): &Given| own.iter().any(|(other, ..)| other.value == key.value);
    let mut all = match rule {
        Merge::Excluding => Vec::new(),
        Merge::Including => match inherited.iter().find(|given| is_own(given)) {
            Some((key, ..)) => return Err(twice(&format!("the option '{}'", key.value), "OPTIONS")),
            None => inherited,
        },
        Merge::Overwriting => inherited.into_iter().filter(|given| !is_own(given)).collect(),
    };
    all.extend(own);
    Ok(all)
}
