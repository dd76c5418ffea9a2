//! What was remembered comes back; what is damaged is kept aside; nothing grows without bound.

use super::*;
use crate::look::StainView;

fn open(path: &Path) -> PreferencesFile {
    let (file, damage) = PreferencesFile::open(path).unwrap();
    assert_eq!(damage, None);
    file
}

#[test]
fn everything_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/preferences.json");
    let file = open(&path);
    assert_eq!(file.get(), Preferences::default());
    let slide = SlideId("ab".into());
    let shown = SlidePreferences {
        look: Look { contrast: 20, stain: StainView::from_code("d").unwrap(), ..Look::default() },
        mpp: Some(Mpp::new(0.25).unwrap()),
    };
    let there = folder.path().join("there.svs");
    std::fs::write(&there, b"x").unwrap();
    file.change(|preferences| {
        preferences.note_opened(Path::new("/gone.svs"));
        preferences.note_opened(&there);
        preferences.note_opened(Path::new("/last.svs"));
        preferences.note_opened(&there);
        let view = TabView { center_base_px: [10.5, 20.0], downsample: 4.0, rotation_degrees: 90.0 };
        preferences.tabs = vec![Tab { path: there.clone(), view: Some(view) }];
        preferences.active_tab = Some(0);
        preferences.language = Some(Language::Zh);
        preferences.theme = Theme::Dark;
        preferences.sidebar_px = Some(420);
        preferences.set_slide(&slide, shown);
    })
    .unwrap();
    let again = open(&path).get();
    assert_eq!(again, file.get());
    let expected = [(&there, true), (&"/last.svs".into(), false), (&"/gone.svs".into(), false)];
    let recent = again.recent_files();
    assert_eq!(recent.iter().map(|file| (&file.path, file.exists)).collect::<Vec<_>>(), expected);
    assert_eq!(again.slide(&slide), shown);
    assert_eq!(again.slide(&SlideId("other".into())), SlidePreferences::default());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let folder = std::fs::metadata(path.parent().unwrap()).unwrap();
        assert_eq!(folder.permissions().mode() & 0o777, 0o700);
    }
    // A change that changes nothing is not written.
    std::fs::remove_file(&path).unwrap();
    file.change(|_| {}).unwrap();
    assert!(!path.exists());
}

#[test]
fn two_windows_keep_each_others_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("preferences.json");
    let (first, second) = (open(&path), open(&path));
    first.change(|preferences| preferences.theme = Theme::Dark).unwrap();
    second.change(|preferences| preferences.sidebar_px = Some(300)).unwrap();
    assert_eq!((second.get().theme, second.get().sidebar_px), (Theme::Dark, Some(300)));
}

#[test]
fn what_makes_no_sense_is_kept_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("preferences.json");
    let check = |content: &str, reason: &str, theme: Theme| {
        std::fs::write(&path, content).unwrap();
        let (file, damage) = PreferencesFile::open(&path).unwrap();
        let damage = damage.unwrap_or_else(|| panic!("{content} is damaged"));
        assert!(damage.reason.contains(reason), "{damage:?}");
        assert_eq!(std::fs::read_to_string(&damage.kept_aside).unwrap(), content);
        assert_eq!(file.get().theme, theme);
        // The next change writes a sound file, also where it changes nothing.
        file.change(|_| {}).unwrap();
        assert_eq!(open(&path).get(), file.get());
    };
    check("", "EOF", Theme::System);
    check("{\"schema\":1,\"theme\":\"dark\"", "EOF", Theme::System);
    check("[]", "invalid type", Theme::System);
    check(r#"{"schema":1,"theme":"dark","tabs":3}"#, "tabs", Theme::Dark);
    check(r#"{"schema":1,"theme":"pink"}"#, "theme", Theme::System);
    check(r#"{"theme":"dark"}"#, "schema", Theme::Dark);
    check(r#"{"schema":1,"theme":"dark","slides":[{"slide":"a","mpp":-1}]}"#, "slides", Theme::Dark);

    // A newer version's file is no damage, and its keys stay.
    std::fs::write(&path, r#"{"schema":7,"theme":"light","hats":["bowler"]}"#).unwrap();
    let file = open(&path);
    file.change(|preferences| preferences.theme = Theme::Dark).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("bowler"), "{text}");

    // A file that cannot be read is no file that is not there.
    let folder_in_the_way = folder.path().join("sub");
    std::fs::create_dir(&folder_in_the_way).unwrap();
    assert!(PreferencesFile::open(&folder_in_the_way).is_err());
}

#[test]
fn nothing_grows_without_bound() {
    let folder = tempfile::tempdir().unwrap();
    let file = open(&folder.path().join("preferences.json"));
    file.change(|preferences| {
        for idx in 0..3000 {
            preferences.note_opened(Path::new(&format!("/{idx}.svs")));
            let look = Look { brightness: 3, ..Look::default() };
            preferences.set_slide(&SlideId(idx.to_string()), SlidePreferences { look, mpp: None });
            preferences.tabs.push(Tab { path: "/a".into(), view: None });
        }
        let view = TabView { center_base_px: [f64::NAN, 0.0], downsample: 0.0, rotation_degrees: 0.0 };
        preferences.tabs[0].view = Some(view);
        preferences.active_tab = Some(2999);
        preferences.sidebar_px = Some(9);
    })
    .unwrap();
    let kept = file.get();
    assert_eq!((kept.recent.len(), kept.tabs.len(), kept.slides.len()), (RECENT_MAX, TABS_MAX, SLIDES_MAX));
    assert_eq!((kept.active_tab, kept.sidebar_px, kept.tabs[0].view), (None, Some(200), None));
    assert_eq!(kept.recent[0], Path::new("/2999.svs"));
    assert_ne!(kept.slide(&SlideId("2999".into())), SlidePreferences::default());
    assert_eq!(kept.slide(&SlideId("0".into())), SlidePreferences::default());
    // The default is not worth a line.
    file.change(|preferences| preferences.set_slide(&SlideId("2999".into()), SlidePreferences::default()))
        .unwrap();
    assert_eq!(file.get().slides.len(), SLIDES_MAX - 1);
}
