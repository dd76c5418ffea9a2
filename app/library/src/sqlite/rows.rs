//! Rows to data and back.

use std::path::PathBuf;

use eosin_core::SlideId;
use eosin_index::Neighbour;
use rusqlite::{
    Connection, ErrorCode, OptionalExtension as _, Row, ToSql, Transaction, params, params_from_iter,
};

use crate::error::LibraryError;
use crate::item::{
    Entry, EntryId, EntryState, Filter, Hit, ItemId, ItemKind, LibraryStatus, ModelId, NewItem, Place,
    Source, SourceId, TagOwner,
};
use crate::sqlite::insert_vector;
use crate::stain::Stain;

/// SQLite's refusal as an error of ours.
pub(super) fn refused(doing: &'static str) -> impl Fn(rusqlite::Error) -> LibraryError {
    move |source| match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => LibraryError::Locked,
        Some(ErrorCode::DiskFull) => LibraryError::Full,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            LibraryError::Damaged { source: Box::new(source) }
        }
        _ => LibraryError::Database { doing, source: Box::new(source) },
    }
}

pub(super) fn floats_to_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

pub(super) fn bytes_to_floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect()
}

/// All rows of a query.
fn all<T>(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
    doing: &'static str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, LibraryError> {
    let mut statement = connection.prepare(sql).map_err(refused(doing))?;
    let rows = statement.query_map(values, read).map_err(refused(doing))?;
    rows.collect::<Result<_, _>>().map_err(refused(doing))
}

pub(super) fn model(connection: &Connection) -> Result<Option<ModelId>, LibraryError> {
    let text: Option<String> = connection
        .prepare("SELECT value FROM meta WHERE key = 'model'")
        .and_then(|mut select| select.query_row([], |row| row.get(0)).optional())
        .map_err(refused("name its model"))?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

/// A number that grows with every change of items (`change`) or of what is said of them (`labels`).
pub(super) fn counter(connection: &Connection, name: &str) -> Result<i64, LibraryError> {
    connection
        .prepare("SELECT value FROM meta WHERE key = ?1")
        .and_then(|mut select| select.query_row([name], |row| row.get(0)))
        .map_err(refused("tell its state"))
}

pub(super) fn count_up(tx: &Transaction<'_>, name: &str) -> Result<(), LibraryError> {
    tx.prepare("UPDATE meta SET value = value + 1 WHERE key = ?1")
        .and_then(|mut update| update.execute([name]))
        .map_err(refused("note a change"))?;
    Ok(())
}

pub(super) fn item_ids(connection: &Connection) -> Result<Vec<u64>, LibraryError> {
    all(connection, "SELECT item FROM vector ORDER BY item", [], "list its items", |row| {
        row.get::<_, i64>(0).map(|id| id as u64)
    })
}

/// The vectors of some items; those of another length, which nobody wrote, are passed over.
pub(super) fn vectors(
    connection: &Connection,
    ids: &[u64],
    d_embed: usize,
) -> Result<Vec<(u64, Vec<f32>)>, LibraryError> {
    let doing = "read vectors";
    let mut select =
        connection.prepare("SELECT floats FROM vector WHERE item = ?1").map_err(refused(doing))?;
    let mut vectors = Vec::with_capacity(ids.len());
    for id in ids {
        let bytes: Option<Vec<u8>> =
            select.query_row([*id as i64], |row| row.get(0)).optional().map_err(refused(doing))?;
        if let Some(bytes) = bytes
            && bytes.len() == d_embed * 4
        {
            vectors.push((*id, bytes_to_floats(&bytes)));
        }
    }
    Ok(vectors)
}

fn owner_row(owner: TagOwner) -> (&'static str, i64) {
    match owner {
        TagOwner::Source(id) => ("source", id.0),
        TagOwner::Entry(id) => ("entry", id.0),
        TagOwner::Item(id) => ("item", id.0),
    }
}

pub(super) fn clear_tags(tx: &Transaction<'_>, owner: TagOwner) -> Result<(), LibraryError> {
    let (owner, id) = owner_row(owner);
    tx.execute("DELETE FROM tag WHERE owner = ?1 AND id = ?2", params![owner, id])
        .map_err(refused("set tags"))?;
    Ok(())
}

pub(super) fn add_tags(tx: &Transaction<'_>, owner: TagOwner, tags: &[String]) -> Result<(), LibraryError> {
    let (owner, id) = owner_row(owner);
    let mut insert = tx
        .prepare("INSERT OR IGNORE INTO tag (owner, id, name) VALUES (?1, ?2, ?3)")
        .map_err(refused("set tags"))?;
    for tag in tags {
        insert.execute(params![owner, id, tag]).map_err(refused("set tags"))?;
    }
    Ok(())
}

fn tags_of(connection: &Connection, owner: TagOwner) -> Result<Vec<String>, LibraryError> {
    let (owner, id) = owner_row(owner);
    let sql = "SELECT name FROM tag WHERE owner = ?1 AND id = ?2 ORDER BY name";
    all(connection, sql, params![owner, id], "read tags", |row| row.get(0))
}

pub(super) fn sources(connection: &Connection) -> Result<Vec<Source>, LibraryError> {
    let sql = "SELECT id, path, recipe, (SELECT count(*) FROM entry WHERE source = source.id), \
               (SELECT count(*) FROM item JOIN entry ON entry.id = item.entry WHERE entry.source = source.id) \
               FROM source ORDER BY id";
    let mut sources = all(connection, sql, [], "list its places", |row| {
        let recipe: String = row.get(2)?;
        Ok(Source {
            id: SourceId(row.get(0)?),
            path: PathBuf::from(row.get::<_, String>(1)?),
            recipe: serde_json::from_str(&recipe).unwrap_or_default(),
            tags: Vec::new(),
            n_entry: row.get::<_, i64>(3)? as u64,
            n_item: row.get::<_, i64>(4)? as u64,
        })
    })?;
    for source in &mut sources {
        source.tags = tags_of(connection, TagOwner::Source(source.id))?;
    }
    Ok(sources)
}

pub(super) fn entries(connection: &Connection, source: Option<SourceId>) -> Result<Vec<Entry>, LibraryError> {
    let sql = "SELECT id, source, path, slide, n_byte, modified_ns, plan_hash, state, reason, base_um_per_px, stain, \
               stain_stated, (SELECT count(*) FROM item WHERE entry = entry.id) \
               FROM entry WHERE ?1 IS NULL OR source = ?1 ORDER BY path, id";
    let mut entries = all(connection, sql, [source.map(|source| source.0)], "list its files", |row| {
        let (guess, stated): (String, Option<String>) = (row.get(10)?, row.get(11)?);
        let (stain, stain_stated) = stain_of(&guess, stated.as_deref());
        Ok(Entry {
            id: EntryId(row.get(0)?),
            source: SourceId(row.get(1)?),
            path: PathBuf::from(row.get::<_, String>(2)?),
            slide: row.get::<_, Option<String>>(3)?.map(SlideId),
            n_byte: row.get::<_, i64>(4)? as u64,
            modified_ns: row.get(5)?,
            plan_hash: row.get(6)?,
            state: EntryState::from_name(&row.get::<_, String>(7)?),
            reason: row.get(8)?,
            base_um_per_px: row.get(9)?,
            stain,
            stain_stated,
            tags: Vec::new(),
            n_item: row.get::<_, i64>(12)? as u64,
        })
    })?;
    for entry in &mut entries {
        entry.tags = tags_of(connection, TagOwner::Entry(entry.id))?;
    }
    Ok(entries)
}

/// What somebody stated goes before the guess.
pub(crate) fn stain_of(guess: &str, stated: Option<&str>) -> (Stain, bool) {
    let stated = stated.and_then(|name| name.parse().ok());
    (stated.unwrap_or_else(|| guess.parse().unwrap_or_default()), stated.is_some())
}

pub(super) fn item_keys(connection: &Connection, entry: EntryId) -> Result<Vec<String>, LibraryError> {
    let sql = "SELECT key FROM item WHERE entry = ?1 ORDER BY key";
    all(connection, sql, [entry.0], "list a file's items", |row| row.get(0))
}

/// Adds items; gives the ids of the new ones with their positions.
pub(super) fn add_items(
    tx: &Transaction<'_>,
    entry: EntryId,
    items: &[NewItem],
) -> Result<Vec<(u64, usize)>, LibraryError> {
    let doing = "add items";
    let known: Option<i64> = tx
        .query_row("SELECT 1 FROM entry WHERE id = ?1", [entry.0], |row| row.get(0))
        .optional()
        .map_err(refused(doing))?;
    if known.is_none() {
        return Err(LibraryError::Unknown { what: "file" });
    }
    let mut insert = tx
        .prepare(
            "INSERT INTO item (entry, key, kind, x, y, width, height, downsample) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (entry, key) DO NOTHING RETURNING id",
        )
        .map_err(refused(doing))?;
    let mut added = Vec::with_capacity(items.len());
    for (item_idx, item) in items.iter().enumerate() {
        let Place { origin_base_px: [x, y], size_px: [width, height], downsample } = item.place;
        let id: Option<i64> = insert
            .query_row(params![entry.0, item.key, item.kind.name(), x, y, width, height, downsample], |row| {
                row.get(0)
            })
            .optional()
            .map_err(refused(doing))?;
        let Some(id) = id else { continue };
        insert_vector(tx, id, item.embedding.values())?;
        add_tags(tx, TagOwner::Item(ItemId(id)), &crate::store::clean_tags(&item.tags))?;
        added.push((id as u64, item_idx));
    }
    Ok(added)
}

/// The items that a filter lets through, ascending; vanished files' left out.
pub(super) fn filtered_ids(connection: &Connection, filter: &Filter) -> Result<Vec<u64>, LibraryError> {
    let mut sql =
        "SELECT item.id FROM item JOIN entry ON entry.id = item.entry WHERE entry.state <> 'vanished'"
            .to_owned();
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    if let Some(stain) = filter.stain {
        sql.push_str(" AND coalesce(entry.stain_stated, entry.stain) = ?");
        values.push(Box::new(stain.name()));
    }
    if let Some(slide) = &filter.slide {
        sql.push_str(" AND entry.slide = ?");
        values.push(Box::new(slide.0.clone()));
    }
    if let Some(slide) = &filter.except_slide {
        sql.push_str(" AND entry.slide <> ?");
        values.push(Box::new(slide.0.clone()));
    }
    if let Some(kind) = filter.kind {
        sql.push_str(" AND item.kind = ?");
        values.push(Box::new(kind.name()));
    }
    for tag in &filter.tags {
        sql.push_str(
            " AND (item.id IN (SELECT id FROM tag WHERE name = ? AND owner = 'item') \
             OR entry.id IN (SELECT id FROM tag WHERE name = ? AND owner = 'entry') \
             OR entry.source IN (SELECT id FROM tag WHERE name = ? AND owner = 'source'))",
        );
        for _ in 0..3 {
            values.push(Box::new(tag.clone()));
        }
    }
    sql.push_str(" ORDER BY item.id");
    all(connection, &sql, params_from_iter(values), "filter its items", |row| {
        row.get::<_, i64>(0).map(|id| id as u64)
    })
}

/// What is known of the first `n` of some neighbours whose files are still there.
pub(super) fn hits(
    connection: &Connection,
    neighbours: &[Neighbour],
    n: usize,
) -> Result<Vec<Hit>, LibraryError> {
    let doing = "read what was found";
    let mut select = connection
        .prepare(
            "SELECT item.kind, item.x, item.y, item.width, item.height, item.downsample, entry.id, entry.source, \
             entry.path, entry.slide, entry.base_um_per_px, entry.stain, entry.stain_stated \
             FROM item JOIN entry ON entry.id = item.entry WHERE item.id = ?1 AND entry.state <> 'vanished'",
        )
        .map_err(refused(doing))?;
    let mut hits = Vec::with_capacity(n.min(neighbours.len()));
    for Neighbour { key, score } in neighbours {
        if hits.len() == n {
            break;
        }
        let hit = select.query_row([*key as i64], |row| {
            let kind = ItemKind::from_name(&row.get::<_, String>(0)?);
            let place = Place {
                origin_base_px: [row.get(1)?, row.get(2)?],
                size_px: [row.get(3)?, row.get(4)?],
                downsample: row.get(5)?,
            };
            let slide = row.get::<_, Option<String>>(9)?.map(SlideId);
            let (guess, stated): (String, Option<String>) = (row.get(11)?, row.get(12)?);
            let (stain, stain_stated) = stain_of(&guess, stated.as_deref());
            Ok(Hit {
                item: ItemId(*key as i64),
                score: *score,
                kind,
                source: SourceId(row.get(7)?),
                entry: EntryId(row.get(6)?),
                path: PathBuf::from(row.get::<_, String>(8)?),
                region: slide.as_ref().filter(|_| kind != ItemKind::Picture).map(|slide| place.region(slide)),
                slide,
                um_per_px: row.get::<_, Option<f64>>(10)?.map(|base| base * place.downsample),
                tags: Vec::new(),
                stain,
                stain_stated,
            })
        });
        if let Some(mut hit) = hit.optional().map_err(refused(doing))? {
            let owners = [TagOwner::Item(hit.item), TagOwner::Entry(hit.entry), TagOwner::Source(hit.source)];
            for owner in owners {
                hit.tags.extend(tags_of(connection, owner)?);
            }
            hit.tags.sort();
            hit.tags.dedup();
            hits.push(hit);
        }
    }
    Ok(hits)
}

pub(super) fn status(
    connection: &Connection,
    place: String,
    model: Option<ModelId>,
) -> Result<LibraryStatus, LibraryError> {
    let doing = "tell what is in it";
    let count = |sql: &str| -> Result<u64, LibraryError> {
        let n: i64 = connection.query_row(sql, [], |row| row.get(0)).map_err(refused(doing))?;
        Ok(n as u64)
    };
    let in_state =
        |state: EntryState| count(&format!("SELECT count(*) FROM entry WHERE state = '{}'", state.name()));
    let tags = "SELECT name, sum(n) FROM (\
        SELECT name, count(*) AS n FROM tag WHERE owner = 'item' GROUP BY name UNION ALL \
        SELECT name, count(*) AS n FROM tag JOIN item ON item.entry = tag.id WHERE owner = 'entry' GROUP BY name \
        UNION ALL SELECT name, count(*) AS n FROM tag JOIN entry ON entry.source = tag.id \
        JOIN item ON item.entry = entry.id WHERE owner = 'source' GROUP BY name) GROUP BY name ORDER BY name";
    let stains = "SELECT coalesce(stain_stated, stain) AS name, count(*) AS n FROM entry \
                  WHERE state IN ('done', 'partial') GROUP BY 1 ORDER BY n DESC, name";
    Ok(LibraryStatus {
        place,
        model,
        n_source: count("SELECT count(*) FROM source")?,
        n_done: in_state(EntryState::Done)?,
        n_partial: in_state(EntryState::Partial)?,
        n_failed: in_state(EntryState::Failed)?,
        n_vanished: in_state(EntryState::Vanished)?,
        n_item: count("SELECT count(*) FROM item")?,
        tags: all(connection, tags, [], doing, |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))?,
        stains: all(connection, stains, [], doing, |row| {
            Ok((row.get::<_, String>(0)?.parse().unwrap_or_default(), row.get::<_, i64>(1)? as u64))
        })?,
    })
}
