//! Ways into a form.

use crate::edn::{Form, FormKind};
use crate::error::{Error, ErrorKind, Result};

/// What lies at `path` in `form`: under keys of maps, at places of vectors, the members of sets themselves.
pub(super) fn find<'a>(form: &'a Form, path: &[Form]) -> Option<&'a Form> {
    path.iter().try_fold(form, |form, step| match &form.kind {
        FormKind::Map(pairs) => pairs.iter().find(|(key, _)| key == step).map(|(_, value)| value),
        FormKind::Vector(items) => items.get(usize::try_from(step.as_int()?).ok()?),
        FormKind::Set(members) => members.iter().find(|member| *member == step),
        _ => None,
    })
}

/// The place for `step` in `form`, made if it is not there, and whether it was.
fn place<'a>(form: &'a mut Form, step: &Form) -> Result<(&'a mut Form, bool)> {
    if form.is_nil() {
        *form = Form::map(Vec::new());
    }
    let wrong = |what: String| Error::new(ErrorKind::Argument, "store/path", what);
    match &mut form.kind {
        FormKind::Map(pairs) => {
            let found = pairs.iter().position(|(key, _)| key == step);
            let at = found.unwrap_or(pairs.len());
            if found.is_none() {
                pairs.push((step.clone(), Form::nil()));
            }
            Ok((&mut pairs[at].1, found.is_some()))
        }
        FormKind::Vector(items) => {
            let len = items.len();
            let at = step.as_int().and_then(|i| usize::try_from(i).ok()).filter(|at| *at <= len);
            let Some(at) = at else {
                return Err(wrong(format!(
                    "the path leads to {step} of a vector of {len}; wanted a place of 0 to {len}"
                )));
            };
            if at == len {
                items.push(Form::nil());
            }
            Ok((&mut items[at], at < len))
        }
        kind => {
            let kind = Form::from(kind.clone()).kind_name();
            Err(wrong(format!("the path leads to {step} inside {kind}; wanted a map or a vector")))
        }
    }
}

/// `root` with what `change` makes of the value at `path`; and the old and the new value there.
pub(super) fn change(
    root: Option<Form>,
    path: &[Form],
    change: &mut impl FnMut(Option<Form>) -> Result<Form>,
) -> Result<(Form, Option<Form>, Form)> {
    let mut there = root.is_some();
    let mut root = root.unwrap_or_else(Form::nil);
    let mut at = &mut root;
    for step in path {
        (at, there) = place(at, step)?;
    }
    let old = there.then(|| at.clone());
    let new = change(old.clone())?;
    *at = new.clone();
    Ok((root, old, new))
}
