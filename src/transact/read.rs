//! Tx-data from forms. What a form means as a value is left open: that depends on the attribute.

use crate::datom::Value;
use crate::db::EntityRef;
use crate::edn::{self, Form, FormKind, Keyword, Symbol};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{change, distance};

use super::function::Callee;
use super::input::{EntityMap, Given, Op, Subject, TempId, TxData};
use super::place::Place;

/// Deepest nesting of entity maps.
pub(super) const MAX_DEPTH: usize = 128;

/// The names of operations.
const OPERATIONS: [&str; 13] = [
    ":db/add",
    ":db/retract",
    ":db/retractAttribute",
    ":db.fn/retractAttribute",
    ":db/retractEntity",
    ":db.fn/retractEntity",
    ":db/cas",
    ":db.fn/cas",
    ":db.fn/call",
    ":db/purge",
    ":db.purge/attribute",
    ":db.purge/entity",
    ":db.history.purge/before",
];

/// What to say of a name that is no operation.
pub(super) fn unknown_operation(name: &str) -> String {
    let near = OPERATIONS.iter().map(|known| (distance(name, known, 3), known)).filter(|(d, _)| *d <= 3).min();
    let hint = near.map(|(_, known)| format!("; did you mean {known}?")).unwrap_or_default();
    let list = OPERATIONS.join(", ");
    format!("unknown operation {name}{hint} (known: {list}, entity maps and functions)")
}

pub(super) fn text(text: &str) -> Result<TxData> {
    let mut data = Reader { text: Some(text) }.tx_data(&edn::read(text)?)?;
    data.source.text = Some(text.into());
    Ok(data)
}

pub(super) fn form(form: &Form) -> Result<TxData> {
    Reader { text: None }.tx_data(form)
}

struct Reader<'t> {
    text: Option<&'t str>,
}

impl Reader<'_> {
    fn tx_data(&self, form: &Form) -> Result<TxData> {
        let (items, meta) = match &form.kind {
            FormKind::Map(pairs) => self.parts(form, pairs)?,
            _ => (form, None),
        };
        let items = items.items().ok_or_else(|| {
            let message =
                format!("tx-data is a vector of operations, or a map with :tx-data; got {}", items.kind_name());
            self.wrong(items, message)
        })?;
        let mut data = TxData::default();
        for (i, item) in items.iter().enumerate().filter(|(_, item)| !item.is_nil()) {
            let op = self.op(item).map_err(|error| error.context(format_args!("operation {i} of the tx-data")))?;
            data.ops.push(op);
            data.source.places.push(Place { number: i as u32, span: Some(item.span), function: None });
        }
        if let Some(meta) = meta {
            data.meta = self.entity(meta, 0).map_err(|error| error.context(":tx-meta"))?;
            if data.meta.id.is_some() {
                return Err(self.wrong(meta, ":tx-meta is about the transaction and takes no :db/id".to_owned()));
            }
        }
        Ok(data)
    }

    /// The two parts of the map form.
    fn parts<'f>(&self, form: &'f Form, pairs: &'f [(Form, Form)]) -> Result<(&'f Form, Option<&'f Form>)> {
        let (mut data, mut meta) = (None, None);
        for (key, value) in pairs {
            match key.as_keyword().map(Keyword::as_str) {
                Some("tx-data") => data = Some(value),
                Some("tx-meta") if value.is_nil() => {}
                Some("tx-meta") => meta = Some(value),
                _ => return Err(self.wrong(key, format!("the keys are :tx-data and :tx-meta, got {key}"))),
            }
        }
        let data = data.ok_or_else(|| self.wrong(form, "the map form of tx-data needs the key :tx-data".to_owned()))?;
        Ok((data, meta))
    }

    fn op(&self, form: &Form) -> Result<Op> {
        if matches!(form.kind, FormKind::Map(_)) {
            return Ok(Op::Entity(self.entity(form, 0)?));
        }
        let Some((name, arguments)) = form.items().and_then(<[Form]>::split_first) else {
            let message =
                format!("an operation is a map or a vector that begins with its name, got {}", form.kind_name());
            return Err(self.wrong(form, message));
        };
        let name_text = match &name.kind {
            FormKind::Keyword(name) => name.as_str(),
            FormKind::Symbol(function) => return self.call(Callee::Registered(*function), arguments),
            _ => "",
        };
        match (name_text, arguments) {
            ("db/add" | "db/retract", [e, a, v, tx]) => {
                self.current_tx(tx)?;
                let (e, a, v) = (self.subject(e)?, self.attribute(a)?, self.value(v)?);
                Ok(if name_text == "db/add" { Op::Add { e, a, v } } else { Op::Retract { e, a, v: Some(v) } })
            }
            ("db/add", [e, a, v]) => Ok(Op::Add { e: self.subject(e)?, a: self.attribute(a)?, v: self.value(v)? }),
            ("db/retract", [e, a]) => Ok(Op::Retract { e: self.subject(e)?, a: self.attribute(a)?, v: None }),
            ("db/retract", [e, a, v]) => {
                Ok(Op::Retract { e: self.subject(e)?, a: self.attribute(a)?, v: Some(self.value(v)?) })
            }
            ("db/retractAttribute" | "db.fn/retractAttribute", [e, a]) => {
                Ok(Op::RetractAttribute { e: self.subject(e)?, a: self.attribute(a)? })
            }
            ("db/retractEntity" | "db.fn/retractEntity", [e]) => Ok(Op::RetractEntity { e: self.subject(e)? }),
            ("db/cas" | "db.fn/cas", [e, a, old, new]) => {
                let old = if old.is_nil() { None } else { Some(self.value(old)?) };
                Ok(Op::Cas { e: self.subject(e)?, a: self.attribute(a)?, old, new: self.value(new)? })
            }
            ("db.fn/call", [function, arguments @ ..]) => {
                let function = match &function.kind {
                    FormKind::Symbol(name) => *name,
                    FormKind::Keyword(name) => Symbol::new(name.as_str()),
                    _ => {
                        let message =
                            format!("a function is named by a symbol or keyword, got {}", function.kind_name());
                        return Err(self.wrong(function, message));
                    }
                };
                self.call(Callee::Registered(function), arguments)
            }
            ("db/purge", [e, a, v]) => Ok(Op::Purge { e: self.subject(e)?, a: self.attribute(a)?, v: self.value(v)? }),
            ("db.purge/attribute", [e, a]) => Ok(Op::PurgeAttribute { e: self.subject(e)?, a: self.attribute(a)? }),
            ("db.purge/entity", [e]) => Ok(Op::PurgeEntity { e: self.subject(e)? }),
            ("db.history.purge/before", [date]) => match date.kind {
                FormKind::Inst(instant) => Ok(Op::PurgeHistoryBefore { instant }),
                _ => Err(self.wrong(date, format!("a date (#inst) was wanted, got {}", date.kind_name()))),
            },
            (
                "db/add"
                | "db/retract"
                | "db/retractAttribute"
                | "db.fn/retractAttribute"
                | "db/retractEntity"
                | "db.fn/retractEntity"
                | "db/cas"
                | "db.fn/cas"
                | "db.fn/call"
                | "db/purge"
                | "db.purge/attribute"
                | "db.purge/entity"
                | "db.history.purge/before",
                _,
            ) => Err(self.wrong(form, format!("{name} does not take {} arguments", arguments.len()))),
            _ => match name.as_keyword() {
                Some(ident) if !change::is_reserved(ident) => self.call(Callee::Installed(ident), arguments),
                _ => Err(self.wrong(name, unknown_operation(&name.to_string()))),
            },
        }
    }

    fn call(&self, function: Callee, arguments: &[Form]) -> Result<Op> {
        let args = arguments.iter().map(|form| match &form.kind {
            FormKind::Tagged(tag, inner) if tag.as_str() == "db/id" => match self.partitioned(form, inner)? {
                Subject::Temp(TempId::Int(n)) => Ok(Value::Long(n)),
                other => Err(self.wrong(form, format!("{other:?} cannot be the argument of a function"))),
            },
            _ => self.plain(form),
        });
        Ok(Op::Call { function, args: args.collect::<Result<_>>()? })
    }

    /// The last part of `[:db/add e a v tx]`, which can only be the transaction at hand.
    fn current_tx(&self, form: &Form) -> Result<()> {
        if self.subject(form)? == Subject::Temp(TempId::CurrentTx)
            || form.as_keyword() == Some(Keyword::new("db/current-tx"))
        {
            return Ok(());
        }
        let message = format!(
            "the transaction of an operation is the one that is made, :db/current-tx, got {form}; facts of other \
             transactions are loaded as raw datoms"
        );
        Err(self.place(form, Error::new(ErrorKind::Transact, "transact/tx", message)))
    }

    fn attribute(&self, form: &Form) -> Result<Keyword> {
        form.as_keyword()
            .ok_or_else(|| self.wrong(form, format!("an attribute is a keyword, got {}", form.kind_name())))
    }

    fn subject(&self, form: &Form) -> Result<Subject> {
        match &form.kind {
            FormKind::Int(n) => Ok(Subject::from(*n)),
            FormKind::Str(text) => Ok(TempId::named(text.clone()).into()),
            FormKind::Keyword(k) if k.as_str() == "db/current-tx" => Ok(TempId::CurrentTx.into()),
            FormKind::Tagged(tag, inner) if tag.as_str() == "db/id" => self.partitioned(form, inner),
            _ => EntityRef::from_form(form).map(Subject::Entity).map_err(|error| self.place(form, error)),
        }
    }

    /// `#db/id [partition -1]`: partitions are not kept apart, but that of transactions means the one at hand.
    fn partitioned(&self, form: &Form, inner: &Form) -> Result<Subject> {
        match inner.items() {
            Some([Form { kind: FormKind::Keyword(k), .. }, ..]) if k.as_str() == "db.part/tx" => {
                Ok(TempId::CurrentTx.into())
            }
            Some([_, Form { kind: FormKind::Int(n @ ..=0), .. }]) => Ok(Subject::from(*n)),
            _ => Err(self.wrong(form, "#db/id is written #db/id [partition -1], with a number of its own".to_owned())),
        }
    }

    fn entity(&self, form: &Form, depth: usize) -> Result<EntityMap> {
        let pairs = form.pairs().ok_or_else(|| {
            self.wrong(form, format!("a map of attributes and values was wanted, got {}", form.kind_name()))
        })?;
        if depth > MAX_DEPTH {
            let message = format!("entity maps are nested deeper than {MAX_DEPTH}");
            return Err(self.place(form, Error::new(ErrorKind::Limit, "transact/depth", message)));
        }
        let mut entity = EntityMap { id: None, attributes: Vec::with_capacity(pairs.len()) };
        for (key, value) in pairs {
            let key = self.attribute(key)?;
            match key.as_str() {
                "db/id" if is_anonymous(value) => {}
                "db/id" => entity.id = Some(self.subject(value)?),
                // What Datomic's schemas say of their installation tells nothing here.
                "db.install/_attribute" => {}
                _ => entity.attributes.push((key, self.nested_value(value, depth)?)),
            }
        }
        Ok(entity)
    }

    fn value(&self, form: &Form) -> Result<Given> {
        self.nested_value(form, 0)
    }

    fn nested_value(&self, form: &Form, depth: usize) -> Result<Given> {
        match &form.kind {
            FormKind::Map(_) => Ok(Given::Nested(self.entity(form, depth + 1)?)),
            FormKind::Vector(items) | FormKind::List(items) | FormKind::Set(items)
                if items.iter().any(needs_entity) =>
            {
                Ok(Given::Many(items.iter().map(|item| self.nested_value(item, depth)).collect::<Result<_>>()?))
            }
            FormKind::Tagged(tag, inner) if tag.as_str() == "db/id" => {
                Ok(Given::Entity(self.partitioned(form, inner)?))
            }
            _ => self.plain(form).map(Given::Value),
        }
    }

    fn plain(&self, form: &Form) -> Result<Value> {
        Value::from_form(form)
            .ok_or_else(|| self.wrong(form, format!("a value was wanted, got the unknown tagged element {form}")))
    }

    fn wrong(&self, form: &Form, message: String) -> Error {
        self.place(form, Error::new(ErrorKind::Transact, "transact/syntax", message))
    }

    fn place(&self, form: &Form, error: Error) -> Error {
        match self.text {
            Some(text) => error.at(form.span, text),
            None => error,
        }
    }
}

/// Whether the form is `#db/id [partition]`, which names no entity but a new one.
fn is_anonymous(form: &Form) -> bool {
    let FormKind::Tagged(tag, inner) = &form.kind else { return false };
    let is_partition = |part: &Form| part.as_keyword().is_some_and(|part| part.as_str() != "db.part/tx");
    tag.as_str() == "db/id" && matches!(inner.items(), Some([part]) if is_partition(part))
}

/// Whether the member of a collection is an entity whatever the attribute.
fn needs_entity(form: &Form) -> bool {
    match &form.kind {
        FormKind::Map(_) => true,
        FormKind::Tagged(tag, _) => tag.as_str() == "db/id",
        _ => false,
    }
}
