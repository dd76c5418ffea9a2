//! Tables, and rows to data and back.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use eosin_core::{Embedding, SlideId};
use postgres::types::ToSql;
use postgres::{Client, GenericClient, Transaction};

use crate::error::LibraryError;
use crate::item::{
    Entry, EntryId, EntryState, Filter, Hit, ItemId, ItemKind, LibraryStatus, ModelId, NewItem, Place,
    Source, SourceId, TagOwner,
};
use crate::postgres::refused;
use crate::sqlite::stain_of;

/// Candidates above those asked for whose order is decided exactly.
const N_SPARE: usize = 22;
/// Longest half-precision vectors that can be compared at all.
const D_HALF_MAX: usize = 16_000;

/// What makes the tables of a library.
pub(super) fn tables(schema: &str, format: i64) -> String {
    format!(
        "CREATE SCHEMA {schema};
        SET LOCAL search_path TO {schema}, public;
        CREATE TABLE meta (key text PRIMARY KEY, text text, number bigint);
        INSERT INTO meta (key, number) VALUES ('format', {format});
        CREATE TABLE source (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, path text NOT NULL UNIQUE, recipe text NOT NULL);
        CREATE TABLE entry (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            source bigint NOT NULL REFERENCES source ON DELETE CASCADE,
            path text NOT NULL, slide text,
            n_byte bigint NOT NULL DEFAULT 0, modified_ns bigint NOT NULL DEFAULT 0,
            plan_hash text NOT NULL DEFAULT '', state text NOT NULL, reason text,
            base_um_per_px double precision, stain text NOT NULL, stain_stated text,
            UNIQUE (source, path));
        CREATE INDEX entry_by_slide ON entry (slide);
        CREATE TABLE item (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            entry bigint NOT NULL REFERENCES entry ON DELETE CASCADE,
            key text NOT NULL, kind text NOT NULL,
            x bigint NOT NULL, y bigint NOT NULL, width bigint NOT NULL, height bigint NOT NULL,
            downsample double precision NOT NULL,
            UNIQUE (entry, key));
        CREATE TABLE tag (owner text NOT NULL, id bigint NOT NULL, name text NOT NULL, PRIMARY KEY (owner, id, name));
        CREATE INDEX tag_by_name ON tag (name, owner, id);
        CREATE FUNCTION drop_tags() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN DELETE FROM {schema}.tag WHERE owner = TG_ARGV[0] AND id = OLD.id; RETURN NULL; END $$;
        CREATE TRIGGER tags AFTER DELETE ON source FOR EACH ROW EXECUTE FUNCTION drop_tags('source');
        CREATE TRIGGER tags AFTER DELETE ON entry FOR EACH ROW EXECUTE FUNCTION drop_tags('entry');
        CREATE TRIGGER tags AFTER DELETE ON item FOR EACH ROW EXECUTE FUNCTION drop_tags('item');"
    )
}

pub(super) fn model(client: &mut impl GenericClient) -> Result<Option<ModelId>, LibraryError> {
    let row = client
        .query_opt("SELECT text FROM meta WHERE key = 'model'", &[])
        .map_err(refused("name its model"))?;
    Ok(row.and_then(|row| serde_json::from_str(row.get::<_, Option<&str>>(0)?).ok()))
}

fn owner_row(owner: TagOwner) -> (&'static str, i64) {
    match owner {
        TagOwner::Source(id) => ("source", id.0),
        TagOwner::Entry(id) => ("entry", id.0),
        TagOwner::Item(id) => ("item", id.0),
    }
}

pub(super) fn clear_tags(tx: &mut Transaction<'_>, owner: TagOwner) -> Result<(), LibraryError> {
    let (owner, id) = owner_row(owner);
    tx.execute("DELETE FROM tag WHERE owner = $1 AND id = $2", &[&owner, &id])
        .map_err(refused("set tags"))?;
    Ok(())
}

pub(super) fn add_tags(
    tx: &mut Transaction<'_>,
    owner: TagOwner,
    tags: &[String],
) -> Result<(), LibraryError> {
    let (owner, id) = owner_row(owner);
    for tag in tags {
        let sql = "INSERT INTO tag (owner, id, name) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        tx.execute(sql, &[&owner, &id, tag]).map_err(refused("set tags"))?;
    }
    Ok(())
}

/// The tags of all owners of a kind, each sorted.
fn tags_by_owner(client: &mut Client, owner: &str) -> Result<HashMap<i64, Vec<String>>, LibraryError> {
    let sql = "SELECT id, name FROM tag WHERE owner = $1 ORDER BY id, name COLLATE \"C\"";
    let mut tags: HashMap<i64, Vec<String>> = HashMap::new();
    for row in client.query(sql, &[&owner]).map_err(refused("read tags"))? {
        tags.entry(row.get(0)).or_default().push(row.get(1));
    }
    Ok(tags)
}

pub(super) fn sources(client: &mut Client) -> Result<Vec<Source>, LibraryError> {
    let mut tags = tags_by_owner(client, "source")?;
    let sql = "SELECT id, path, recipe, (SELECT count(*) FROM entry WHERE source = source.id), \
               (SELECT count(*) FROM item JOIN entry ON entry.id = item.entry WHERE entry.source = source.id) \
               FROM source ORDER BY id";
    let rows = client.query(sql, &[]).map_err(refused("list its places"))?;
    let source = |row: postgres::Row| {
        let id: i64 = row.get(0);
        Source {
            id: SourceId(id),
            path: PathBuf::from(row.get::<_, String>(1)),
            recipe: serde_json::from_str(row.get(2)).unwrap_or_default(),
            tags: tags.remove(&id).unwrap_or_default(),
            n_entry: row.get::<_, i64>(3) as u64,
            n_item: row.get::<_, i64>(4) as u64,
        }
    };
    Ok(rows.into_iter().map(source).collect())
}

pub(super) fn entries(client: &mut Client, source: Option<SourceId>) -> Result<Vec<Entry>, LibraryError> {
    let mut tags = tags_by_owner(client, "entry")?;
    let sql = "SELECT id, source, path, slide, n_byte, modified_ns, plan_hash, state, reason, base_um_per_px, stain, \
               stain_stated, (SELECT count(*) FROM item WHERE entry = entry.id) \
               FROM entry WHERE $1::bigint IS NULL OR source = $1 ORDER BY path COLLATE \"C\", id";
    let rows = client.query(sql, &[&source.map(|source| source.0)]).map_err(refused("list its files"))?;
    let entry = |row: postgres::Row| {
        let id: i64 = row.get(0);
        let (stain, stain_stated) = stain_of(row.get(10), row.get(11));
        Entry {
            id: EntryId(id),
            source: SourceId(row.get(1)),
            path: PathBuf::from(row.get::<_, String>(2)),
            slide: row.get::<_, Option<String>>(3).map(SlideId),
            n_byte: row.get::<_, i64>(4) as u64,
            modified_ns: row.get(5),
            plan_hash: row.get(6),
            state: EntryState::from_name(row.get(7)),
            reason: row.get(8),
            base_um_per_px: row.get(9),
            stain,
            stain_stated,
            tags: tags.remove(&id).unwrap_or_default(),
            n_item: row.get::<_, i64>(12) as u64,
        }
    };
    Ok(rows.into_iter().map(entry).collect())
}

pub(super) fn item_keys(client: &mut Client, entry: EntryId) -> Result<Vec<String>, LibraryError> {
    let sql = "SELECT key FROM item WHERE entry = $1 ORDER BY key COLLATE \"C\"";
    let rows = client.query(sql, &[&entry.0]).map_err(refused("list a file's items"))?;
    Ok(rows.into_iter().map(|row| row.get(0)).collect())
}

/// A vector as the server reads it; every value is read back as the same bits.
fn vector_text(values: &[f32]) -> String {
    let mut text = String::with_capacity(values.len() * 12 + 2);
    text.push('[');
    for (idx, value) in values.iter().enumerate() {
        let _infallible = write!(text, "{}{value}", if idx == 0 { "" } else { "," });
    }
    text.push(']');
    text
}

pub(super) fn add_items(
    tx: &mut Transaction<'_>,
    entry: EntryId,
    items: &[NewItem],
) -> Result<(), LibraryError> {
    let doing = "add items";
    if tx.query_opt("SELECT 1 FROM entry WHERE id = $1", &[&entry.0]).map_err(refused(doing))?.is_none() {
        return Err(LibraryError::Unknown { what: "file" });
    }
    let insert = tx
        .prepare(
            "INSERT INTO item (entry, key, kind, x, y, width, height, downsample, floats) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::vector) ON CONFLICT (entry, key) DO NOTHING \
             RETURNING id",
        )
        .map_err(refused(doing))?;
    for item in items {
        let [x, y, width, height] = [
            item.place.origin_base_px[0],
            item.place.origin_base_px[1],
            item.place.size_px[0],
            item.place.size_px[1],
        ]
        .map(i64::from);
        let (kind, floats) = (item.kind.name(), vector_text(item.embedding.values()));
        let values: [&(dyn ToSql + Sync); 9] =
            [&entry.0, &item.key, &kind, &x, &y, &width, &height, &item.place.downsample, &floats];
        if let Some(row) = tx.query_opt(&insert, &values).map_err(refused(doing))? {
            add_tags(tx, TagOwner::Item(ItemId(row.get(0))), &crate::store::clean_tags(&item.tags))?;
        }
    }
    Ok(())
}

/// What a filter asks of `item` and `entry`, and the values it needs, numbered from `first`.
fn conditions(filter: &Filter, first: usize) -> (String, Vec<Box<dyn ToSql + Sync>>) {
    let mut sql = "entry.state <> 'vanished'".to_owned();
    let mut values: Vec<Box<dyn ToSql + Sync>> = Vec::new();
    let mut put = |condition: &str, value: Box<dyn ToSql + Sync>| {
        values.push(value);
        let number = format!("${}", first + values.len() - 1);
        sql.push_str(" AND ");
        sql.push_str(&condition.replace('?', &number));
    };
    if let Some(stain) = filter.stain {
        put("coalesce(entry.stain_stated, entry.stain) = ?", Box::new(stain.name()));
    }
    if let Some(slide) = &filter.slide {
        put("entry.slide = ?", Box::new(slide.0.clone()));
    }
    if let Some(slide) = &filter.except_slide {
        put("entry.slide <> ?", Box::new(slide.0.clone()));
    }
    if let Some(kind) = filter.kind {
        put("item.kind = ?", Box::new(kind.name()));
    }
    for tag in &filter.tags {
        put(
            "(item.id IN (SELECT id FROM tag WHERE name = ? AND owner = 'item') \
             OR entry.id IN (SELECT id FROM tag WHERE name = ? AND owner = 'entry') \
             OR entry.source IN (SELECT id FROM tag WHERE name = ? AND owner = 'source'))",
            Box::new(tag.clone()),
        );
    }
    (sql, values)
}

pub(super) fn nearest(
    client: &mut Client,
    query: &Embedding,
    n: usize,
    filter: &Filter,
    model: &ModelId,
) -> Result<Vec<Hit>, LibraryError> {
    let doing = "search";
    let n_candidate = n + n / 2 + N_SPARE;
    let d_embed = model.d_embed;
    let (conditions, values) = conditions(filter, 3);
    // Half-precision products choose the candidates by the index, exact ones order them.
    let rough = if d_embed <= D_HALF_MAX {
        format!("item.floats::halfvec({d_embed}) <#> ($1::text::vector)::halfvec({d_embed})")
    } else {
        "item.floats <#> $1::text::vector".to_owned()
    };
    let sql = format!(
        "SELECT id, -(floats <#> $1::text::vector) AS score, kind, x, y, width, height, downsample, entry, source, \
         path, slide, base_um_per_px, stain, stain_stated FROM ( \
         SELECT item.id, item.floats, item.kind, item.x, item.y, item.width, item.height, item.downsample, \
         entry.id AS entry, entry.source, entry.path, entry.slide, entry.base_um_per_px, entry.stain, \
         entry.stain_stated FROM item JOIN entry ON entry.id = item.entry WHERE {conditions} \
         ORDER BY {rough} LIMIT $2) AS candidate ORDER BY score DESC, id"
    );
    let floats = vector_text(query.values());
    let limit = n_candidate as i64;
    let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&floats, &limit];
    parameters.extend(values.iter().map(AsRef::as_ref));
    let mut tx = client.transaction().map_err(refused(doing))?;
    // As many candidates as are asked for, and on through the index where a filter drops some.
    let wide = n_candidate.clamp(96, 1000);
    tx.batch_execute(&format!(
        "SET LOCAL hnsw.ef_search = {wide}; SET LOCAL hnsw.iterative_scan = 'relaxed_order'"
    ))
    .map_err(refused(doing))?;
    let rows = tx.query(&sql, &parameters).map_err(refused(doing))?;
    let mut hits: Vec<Hit> = rows.iter().take(n).map(hit).collect();
    let tags = "SELECT name FROM tag WHERE (owner = 'item' AND id = $1) OR (owner = 'entry' AND id = $2) \
                OR (owner = 'source' AND id = $3) ORDER BY name COLLATE \"C\"";
    let tags = tx.prepare(tags).map_err(refused(doing))?;
    for hit in &mut hits {
        let rows = tx.query(&tags, &[&hit.item.0, &hit.entry.0, &hit.source.0]).map_err(refused(doing))?;
        hit.tags = rows.into_iter().map(|row| row.get(0)).collect();
        hit.tags.dedup();
    }
    tx.commit().map_err(refused(doing))?;
    Ok(hits)
}

fn hit(row: &postgres::Row) -> Hit {
    let side = |column: usize| row.get::<_, i64>(column) as u32;
    let kind = ItemKind::from_name(row.get(2));
    let place =
        Place { origin_base_px: [side(3), side(4)], size_px: [side(5), side(6)], downsample: row.get(7) };
    let slide = row.get::<_, Option<String>>(11).map(SlideId);
    let (stain, stain_stated) = stain_of(row.get(13), row.get(14));
    Hit {
        item: ItemId(row.get(0)),
        score: row.get::<_, f64>(1) as f32,
        kind,
        source: SourceId(row.get(9)),
        entry: EntryId(row.get(8)),
        path: PathBuf::from(row.get::<_, String>(10)),
        region: slide.as_ref().filter(|_| kind != ItemKind::Picture).map(|slide| place.region(slide)),
        slide,
        um_per_px: row.get::<_, Option<f64>>(12).map(|base| base * place.downsample),
        tags: Vec::new(),
        stain,
        stain_stated,
    }
}

pub(super) fn embedding(
    client: &mut Client,
    item: ItemId,
    model: &ModelId,
) -> Result<Option<Embedding>, LibraryError> {
    let sql = "SELECT floats::real[] FROM item WHERE id = $1";
    let row = client.query_opt(sql, &[&item.0]).map_err(refused("read a vector"))?;
    Ok(row.and_then(|row| Embedding::new(model.hash.clone(), row.get(0)).ok()))
}

pub(super) fn status(
    client: &mut Client,
    place: String,
    model: Option<ModelId>,
) -> Result<LibraryStatus, LibraryError> {
    let doing = "tell what is in it";
    let mut count = |sql: &str| -> Result<u64, LibraryError> {
        let row = client.query_one(sql, &[]).map_err(refused(doing))?;
        Ok(row.get::<_, i64>(0) as u64)
    };
    let (n_source, n_item) = (count("SELECT count(*) FROM source")?, count("SELECT count(*) FROM item")?);
    let mut in_state =
        |state: EntryState| count(&format!("SELECT count(*) FROM entry WHERE state = '{}'", state.name()));
    let states = [EntryState::Done, EntryState::Partial, EntryState::Failed, EntryState::Vanished];
    let mut n_of = [0; 4];
    for (n, state) in n_of.iter_mut().zip(states) {
        *n = in_state(state)?;
    }
    let [n_done, n_partial, n_failed, n_vanished] = n_of;
    let tags = "SELECT name, sum(n)::bigint FROM (\
        SELECT name, count(*) AS n FROM tag WHERE owner = 'item' GROUP BY name UNION ALL \
        SELECT name, count(*) AS n FROM tag JOIN item ON item.entry = tag.id WHERE owner = 'entry' GROUP BY name \
        UNION ALL SELECT name, count(*) AS n FROM tag JOIN entry ON entry.source = tag.id \
        JOIN item ON item.entry = entry.id WHERE owner = 'source' GROUP BY name) AS counts \
        GROUP BY name ORDER BY name COLLATE \"C\"";
    let stains = "SELECT coalesce(stain_stated, stain) AS name, count(*) AS n FROM entry \
                  WHERE state IN ('done', 'partial') GROUP BY 1 ORDER BY n DESC, name";
    let mut pairs = |sql: &str| -> Result<Vec<(String, u64)>, LibraryError> {
        let rows = client.query(sql, &[]).map_err(refused(doing))?;
        Ok(rows.into_iter().map(|row| (row.get(0), row.get::<_, i64>(1) as u64)).collect())
    };
    let (tags, stains) = (pairs(tags)?, pairs(stains)?);
    Ok(LibraryStatus {
        place,
        model,
        n_source,
        n_done,
        n_partial,
        n_failed,
        n_vanished,
        n_item,
        tags,
        stains: stains.into_iter().map(|(name, n)| (name.parse().unwrap_or_default(), n)).collect(),
    })
}
