//! What one phantom is to show, whatever the subfield, and how it becomes a picture.

use super::canvas::Canvas;
use super::cytology::CytologyPlan;
use super::fish::FishPlan;
use super::gross::GrossPlan;
use super::scene::Plan;
use super::stain::Lab;
use super::truth::{Facts, Mark, Subfield, Tier, Truth};
use super::{Draw, Phantom, Settings};
use rand::Rng;

/// A plan of any subfield.
#[derive(Clone, Debug)]
pub(crate) enum Specimen {
    Tissue(Plan),
    Gross(GrossPlan),
    Cytology(CytologyPlan),
    Fish(FishPlan),
}

impl Specimen {
    /// A plan by lot.
    pub(crate) fn draw(subfield: Subfield, tier: Tier, rng: &mut Draw) -> Self {
        match subfield {
            Subfield::Histopathology | Subfield::Ihc => Self::Tissue(Plan::draw(subfield, tier, rng)),
            Subfield::Gross => Self::Gross(GrossPlan::draw(tier, rng)),
            Subfield::Cytology => Self::Cytology(CytologyPlan::draw(tier, rng)),
            Subfield::Fish => Self::Fish(FishPlan::draw(tier, rng)),
        }
    }

    /// What will be drawn; exact but for the necrotic area, which follows from the drawing.
    pub(crate) fn facts(&self) -> Facts {
        match self {
            Self::Tissue(plan) => Facts::Tissue(plan.facts()),
            Self::Gross(plan) => Facts::Gross(plan.facts()),
            Self::Cytology(plan) => Facts::Cytology(plan.facts()),
            Self::Fish(plan) => Facts::Fish(plan.facts()),
        }
    }

    /// Draws and develops it.
    pub(crate) fn develop(
        &self,
        subfield: Subfield,
        tier: Tier,
        settings: &Settings,
        rng: &mut Draw,
    ) -> Phantom {
        let size_px = settings.size_px.map(|side| side as usize);
        let drawn = |lab: Lab, (canvas, marks): (Canvas, Vec<Mark>)| Phantom {
            tile: lab.develop(canvas),
            truth: Truth { subfield, tier, facts: self.facts(), marks },
        };
        if let Self::Tissue(plan) = self {
            return plan.develop(settings.size_px, settings, rng);
        }
        let lab = match self {
            Self::Cytology(plan) => Lab::smear(plan.facts().dye, settings, rng),
            _ => Lab::camera(settings, rng),
        };
        let scale = settings.scale * rng.random_range(0.92..1.08);
        match self {
            Self::Gross(plan) => drawn(lab, plan.paint(size_px, scale, rng)),
            Self::Cytology(plan) => drawn(lab, plan.paint(size_px, scale, rng)),
            Self::Fish(plan) => drawn(lab, plan.paint(size_px, scale, rng)),
            Self::Tissue(plan) => plan.develop(settings.size_px, settings, rng),
        }
    }
}
