//! The ids of routes and clients in the file: places in lists that only grow.

use coo_llm_core::Catalog;
use coo_llm_core::catalog::{ClientId, OTHER, RouteId};
use rusqlite::{Connection, Transaction, params};
use std::collections::HashMap;
use std::sync::Arc;

/// Provider, model and key.
pub(super) type RouteNames = [Arc<str>; 3];

/// What the file calls routes and clients.
#[derive(Debug, Default)]
pub(super) struct Names {
    routes: Vec<RouteNames>,
    clients: Vec<Arc<str>>,
    route_ids: HashMap<RouteNames, u32>,
    client_ids: HashMap<Arc<str>, u32>,
    /// The same by the ids of this process's catalogue.
    by_route: Vec<Option<u32>>,
    by_client: Vec<Option<u32>>,
    /// How many of each are in the file.
    saved: [usize; 2],
}

/// What a transaction adds to the file's lists.
#[derive(Debug)]
pub(super) struct Unsaved {
    routes: Vec<RouteNames>,
    clients: Vec<Arc<str>>,
    first: [usize; 2],
}

impl Unsaved {
    pub(super) fn insert(&self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        for (id, [provider, model, key]) in (self.first[0]..).zip(&self.routes) {
            transaction.execute(
                "INSERT INTO routes VALUES (?1, ?2, ?3, ?4)",
                params![id as i64, &**provider, &**model, &**key],
            )?;
        }
        for (id, client) in (self.first[1]..).zip(&self.clients) {
            transaction.execute(
                "INSERT INTO clients VALUES (?1, ?2)",
                params![id as i64, &**client],
            )?;
        }
        Ok(())
    }
}

impl Names {
    /// Reads the file's lists; `None` where they have gaps, which ours never do.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Option<Self>> {
        let mut names = Self::default();
        let mut routes = connection.prepare("SELECT * FROM routes ORDER BY route")?;
        let mut rows = routes.query([])?;
        while let Some(row) = rows.next()? {
            let text = |at| row.get::<_, String>(at).map(Arc::from);
            let id = names.add_route([text(1)?, text(2)?, text(3)?]);
            if row.get::<_, i64>(0)? != i64::from(id) {
                return Ok(None);
            }
        }
        let mut clients = connection.prepare("SELECT * FROM clients ORDER BY client")?;
        let mut rows = clients.query([])?;
        while let Some(row) = rows.next()? {
            let id = names.add_client(row.get::<_, String>(1)?.into());
            if row.get::<_, i64>(0)? != i64::from(id) {
                return Ok(None);
            }
        }
        names.saved = [names.routes.len(), names.clients.len()];
        Ok(Some(names))
    }

    fn add_route(&mut self, names: RouteNames) -> u32 {
        let next = self.routes.len() as u32;
        let id = *self.route_ids.entry(names.clone()).or_insert(next);
        if id == next {
            self.routes.push(names);
        }
        id
    }

    fn add_client(&mut self, name: Arc<str>) -> u32 {
        let next = self.clients.len() as u32;
        let id = *self.client_ids.entry(Arc::clone(&name)).or_insert(next);
        if id == next {
            self.clients.push(name);
        }
        id
    }

    /// The ids (client, route) of a pair of the meter.
    pub(super) fn pair(
        &mut self,
        catalog: &Catalog,
        of: Option<(RouteId, ClientId)>,
    ) -> (u32, u32) {
        let Some((route, client)) = of else {
            let other = || Arc::from(OTHER);
            return (
                self.add_client(other()),
                self.add_route([other(), other(), other()]),
            );
        };
        let known = |ids: &[Option<u32>], at: usize| ids.get(at).copied().flatten();
        let route_id = known(&self.by_route, route.index()).unwrap_or_else(|| {
            let id = self.add_route(catalog.route_names(route).map(Arc::from));
            put(&mut self.by_route, route.index(), id);
            id
        });
        let client_id = known(&self.by_client, client.index()).unwrap_or_else(|| {
            let id = self.add_client(catalog.client_name(client).into());
            put(&mut self.by_client, client.index(), id);
            id
        });
        (client_id, route_id)
    }

    pub(super) fn routes(&self) -> &[RouteNames] {
        &self.routes
    }

    pub(super) fn client_name(&self, id: u32) -> Option<Arc<str>> {
        self.clients.get(id as usize).cloned()
    }

    /// The clients from a place on.
    pub(super) fn clients_from(&self, place: usize) -> &[Arc<str>] {
        self.clients.get(place..).unwrap_or_default()
    }

    pub(super) fn client_id(&self, name: &str) -> Option<u32> {
        self.client_ids.get(name).copied()
    }

    /// What the file does not have yet.
    pub(super) fn unsaved(&self) -> Unsaved {
        let first = self.saved;
        Unsaved {
            routes: self.routes[first[0]..].to_vec(),
            clients: self.clients[first[1]..].to_vec(),
            first,
        }
    }

    /// Notes that the file has them now.
    pub(super) fn are_saved(&mut self, names: &Unsaved) {
        let [routes, clients] = names.first;
        self.saved = [routes + names.routes.len(), clients + names.clients.len()];
    }
}

fn put(ids: &mut Vec<Option<u32>>, at: usize, id: u32) {
    if ids.len() <= at {
        ids.resize(at + 1, None);
    }
    ids[at] = Some(id);
}
