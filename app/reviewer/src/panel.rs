//! The panels beside the slide.

pub mod ask;
pub mod look;
pub mod marks;
pub mod search;
pub mod slide;

use crate::icon::Icon;

/// Which panel is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Panel {
    /// Questions and answers.
    #[default]
    Ask,
    /// Similar images.
    Search,
    /// What is drawn on the slide.
    Marks,
    /// Brightness, contrast, stains.
    Look,
    /// The slide's own words.
    Slide,
}

impl Panel {
    /// All, in their order.
    pub const ALL: [Self; 5] = [Self::Ask, Self::Search, Self::Marks, Self::Look, Self::Slide];

    /// The command that shows it.
    pub fn command(self) -> &'static str {
        match self {
            Self::Ask => "panel-ask",
            Self::Search => "panel-similar",
            Self::Marks => "panel-annotations",
            Self::Look => "look",
            Self::Slide => "slide-information",
        }
    }

    /// Its icon.
    pub fn icon(self) -> Icon {
        match self {
            Self::Ask => Icon::Talk,
            Self::Search => Icon::Lens,
            Self::Marks => Icon::Marks,
            Self::Look => Icon::Sliders,
            Self::Slide => Icon::Slide,
        }
    }
}
