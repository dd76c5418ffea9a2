//! The `slide:` protocol: `/KEY/LOOK/LEVEL/COLUMN_ROW.jpg` → a tile. Nothing else can be read through it.

use eosin_workbench::{Look, SlideKey, Tile, TileAddress, TileResult, Workbench};
use tauri::http::{Response, StatusCode, header};

/// Answers a request, perhaps later and on another thread.
pub(crate) fn serve(
    workbench: &Workbench,
    path: &str,
    respond: impl FnOnce(Response<Vec<u8>>) + Send + 'static,
) {
    let Some((key, address)) = parse(path) else {
        return respond(response(StatusCode::BAD_REQUEST, Vec::new()));
    };
    workbench.request_tile(&key, address, move |tile: TileResult| {
        respond(match tile {
            Ok(Tile::Jpeg(bytes)) => response(StatusCode::OK, bytes.to_vec()),
            Ok(Tile::Rgb(_)) | Err(_) => response(StatusCode::NOT_FOUND, Vec::new()),
        });
    });
}

/// Reads an address; `None` where it is none of ours.
fn parse(path: &str) -> Option<(SlideKey, TileAddress)> {
    let mut parts = path.trim_start_matches('/').split('/');
    let (key, look, level, tile) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let (column, row) = tile.strip_suffix(".jpg")?.split_once('_')?;
    let address = TileAddress::jpeg(level.parse().ok()?, column.parse().ok()?, row.parse().ok()?);
    let address = address.with_look(Look::from_code(look).ok()?);
    parts.next().is_none().then(|| (SlideKey(key.to_owned()), address))
}

fn response(status: StatusCode, body: Vec<u8>) -> Response<Vec<u8>> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("image/jpeg"));
    // The page and the tiles have different origins; the viewer draws tiles into a canvas that it reads.
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, header::HeaderValue::from_static("*"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_tiles_are_read() {
        let dark = Look { brightness: -10, ..Look::default() };
        let expected = TileAddress::jpeg(11, 3, 4).with_look(dark);
        assert_eq!(parse("/s0/-10.0.100.all/11/3_4.jpg"), Some((SlideKey("s0".into()), expected)));
        for path in [
            "",
            "/",
            "/s0",
            "/s0/11/3_4.jpg",
            "/s0/0.0.100/11/3_4.jpg",
            "/s0/0.0.100.all/11",
            "/s0/0.0.100.all/11/3_4.png",
            "/s0/0.0.100.all/11/3.jpg",
            "/s0/0.0.100.all/-1/3_4.jpg",
            "/s0/0.0.100.all/1/3_4.jpg/x",
        ] {
            assert_eq!(parse(path), None, "{path}");
        }
    }
}
