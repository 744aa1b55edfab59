// SPDX-License-Identifier: Apache-2.0
//! What must be there, by what was done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use hythe_catalog::DeletedImage;
use hythe_meta::RestoredImage;
use hythe_model::{Digest, ImageStatus, RepositoryPath, Tag};
use jiff::{SignedDuration, Timestamp};

/// For how long deleted images can be restored, as accounts have it that have decided nothing.
const WINDOW: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A repository as it must be.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// The images, each with the number of the change that made it.
    pub images: BTreeMap<Digest, usize>,
    pub tags: BTreeMap<Tag, Digest>,
    /// Until when what was deleted can be restored.
    pub restorable: BTreeMap<Digest, Timestamp>,
    /// Images that are in the archive, or on their way out of it, also such as are deleted: they come back as they were.
    pub hidden: BTreeMap<Digest, ImageStatus>,
}

#[derive(Debug, Default)]
pub struct Oracle(Mutex<(BTreeMap<RepositoryPath, Contents>, usize)>);

impl Oracle {
    fn change(&self, repository: &RepositoryPath, change: impl FnOnce(&mut Contents, usize)) {
        let mut state = self.0.lock().unwrap();
        state.1 += 1;
        let number = state.1;
        change(state.0.entry(repository.clone()).or_default(), number);
    }

    pub fn contents(&self, repository: &RepositoryPath) -> Contents {
        self.0.lock().unwrap().0.get(repository).cloned().unwrap_or_default()
    }

    /// Since when an image is there.
    pub fn since(&self, repository: &RepositoryPath, image: &Digest) -> Option<usize> {
        self.contents(repository).images.get(image).copied()
    }

    pub fn put(&self, repository: &RepositoryPath, image: Digest, tags: &[Tag]) {
        self.change(repository, |contents, number| {
            contents.images.entry(image).or_insert(number);
            contents.restorable.remove(&image);
            contents.hidden.remove(&image);
            contents.tags.extend(tags.iter().map(|tag| (tag.clone(), image)));
        });
    }

    pub fn deleted(&self, repository: &RepositoryPath, deleted: &DeletedImage, at: Timestamp) {
        self.change(repository, |contents, _| {
            for tag in &deleted.tags {
                contents.tags.remove(tag);
            }
            if deleted.is_image_gone {
                contents.images.remove(&deleted.digest);
                contents.restorable.insert(deleted.digest, at + WINDOW);
            }
        });
    }

    pub fn restored(&self, repository: &RepositoryPath, restored: &RestoredImage) {
        self.change(repository, |contents, number| {
            for image in restored.children.iter().chain([&restored.digest]) {
                contents.images.entry(*image).or_insert(number);
                contents.restorable.remove(image);
            }
            let back = restored.tags.iter().filter(|(_, became)| became.is_ok());
            contents
                .tags
                .extend(back.map(|(tag, _)| (tag.clone(), restored.digest)));
        });
    }

    /// An image was archived, or is to come back.
    pub fn transited(&self, repository: &RepositoryPath, image: &Digest, status: ImageStatus) {
        self.change(repository, |contents, _| {
            if status == ImageStatus::Active {
                contents.hidden.remove(image);
            } else {
                contents.hidden.insert(*image, status);
            }
        });
    }

    pub fn purged(&self, repository: &RepositoryPath, image: &Digest) {
        self.change(repository, |contents, _| {
            contents.restorable.remove(image);
        });
    }

    /// Forgets what may have been purged by now.
    pub fn pass(&self, now: Timestamp) {
        for contents in self.0.lock().unwrap().0.values_mut() {
            contents.restorable.retain(|_, until| *until > now);
        }
    }

    /// The images of each repository.
    pub fn images(&self) -> BTreeMap<RepositoryPath, BTreeSet<Digest>> {
        self.images_that(|_, _| true)
    }

    /// The images of each repository that are not in the archive.
    pub fn awake(&self) -> BTreeMap<RepositoryPath, BTreeSet<Digest>> {
        self.images_that(|contents, image| contents.hidden.get(image) != Some(&ImageStatus::Archived))
    }

    fn images_that(
        &self,
        is_wanted: impl Fn(&Contents, &Digest) -> bool,
    ) -> BTreeMap<RepositoryPath, BTreeSet<Digest>> {
        let state = self.0.lock().unwrap();
        let images = |contents: &Contents| {
            let images = contents.images.keys().copied();
            images.filter(|image| is_wanted(contents, image)).collect()
        };
        state
            .0
            .iter()
            .map(|(path, contents)| (path.clone(), images(contents)))
            .collect()
    }
}
