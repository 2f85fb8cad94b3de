//! Entities that documents name.

use std::collections::HashMap;

use crate::edn::{Form, Keyword};

/// The entities that the records of one transaction name, with their temporary ids.
#[derive(Debug, Default)]
pub struct Names {
    ids: HashMap<(Keyword, String), Name>,
}

#[derive(Debug)]
struct Name {
    id: i64,
    value: Form,
    /// Whether a record of the transaction is this entity.
    told: bool,
}

impl Names {
    pub(super) fn id(&mut self, attribute: Keyword, value: Form, told: bool) -> Form {
        let next = -1 - i64::try_from(self.ids.len()).unwrap_or(i64::MAX - 1);
        let name = self.ids.entry((attribute, value.to_string())).or_insert(Name { id: next, value, told });
        name.told |= told;
        Form::from(name.id)
    }

    /// Entity maps for those that are named and told by no record.
    pub fn untold(self) -> Vec<Form> {
        let mut untold: Vec<_> = self.ids.into_iter().filter(|(_, name)| !name.told).collect();
        untold.sort_by_key(|(_, name)| std::cmp::Reverse(name.id));
        let entity = |((attribute, _), name): ((Keyword, String), Name)| {
            Form::map(vec![(key("db/id"), name.id.into()), (attribute.into(), name.value)])
        };
        untold.into_iter().map(entity).collect()
    }
}

pub(super) fn key(name: &str) -> Form {
    Keyword::new(name).into()
}
