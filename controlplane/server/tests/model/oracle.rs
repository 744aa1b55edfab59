// SPDX-License-Identifier: Apache-2.0
//! What must be there, by what was done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use hythe_catalog::DeletedImage;
use hythe_meta::RestoredImage;
use hythe_model::{Digest, ImageStatus, RepositoryPath, Tag};
use jiff::{SignedDuration, Timestamp};

use crate::contents::{IMAGE, image_of, referrers_of};

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
    /// What refers to something that was deleted or restored, and follows it a while later: it may be there or not.
    pub loose: BTreeSet<Digest>,
    /// Those of them that must be gone when nothing follows any more.
    pub doomed: BTreeSet<Digest>,
}

impl Contents {
    /// It was pushed or restored: it stays, and what refers to it may.
    fn spare(&mut self, image: &Digest) {
        self.doomed.remove(image);
        for referrer in referrers_of(image) {
            self.doomed.remove(&referrer);
        }
    }

    /// What refers to `subject` follows it from now on.
    fn loosen(&mut self, subject: &Digest) {
        self.loose.extend(referrers_of(subject));
    }

    fn came_back(&mut self, image: Digest, number: usize) {
        self.spare(&image);
        self.images.entry(image).or_insert(number);
        self.restorable.remove(&image);
        self.loosen(&image);
    }
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
            // Referrers that went with it stay gone: it is not the one of before.
            contents.spare(&image);
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
                contents.loosen(&deleted.digest);
                let going = referrers_of(&deleted.digest).filter(|image| contents.images.contains_key(image));
                let going: Vec<Digest> = going.collect();
                contents.doomed.extend(going);
            }
        });
    }

    pub fn restored(&self, repository: &RepositoryPath, restored: &RestoredImage) {
        self.change(repository, |contents, number| {
            for image in restored.children.iter().chain([&restored.digest]) {
                contents.came_back(*image, number);
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

    /// A tag points to an image that it pointed to before, which came back for that if it was gone.
    pub fn rolled_back(&self, repository: &RepositoryPath, tag: &Tag, image: Digest, status: ImageStatus) {
        self.change(repository, |contents, number| {
            let children = image_of(&image).children.iter().map(|number| IMAGE[*number].digest);
            for image in children.chain([image]) {
                contents.came_back(image, number);
            }
            contents.tags.insert(tag.clone(), image);
            if status == ImageStatus::Active {
                contents.hidden.remove(&image);
            } else {
                contents.hidden.insert(image, status);
            }
        });
    }

    /// Everything is gone.
    pub fn emptied(&self, repository: &RepositoryPath) {
        self.change(repository, |contents, _| *contents = Contents::default());
    }

    /// What followed something else is there, or is not; `is_settled`: nothing follows any more. Says whether that may be.
    pub fn followed(&self, repository: &RepositoryPath, image: Digest, is_there: bool, is_settled: bool) -> bool {
        let is_right = !(is_there && is_settled && self.contents(repository).doomed.contains(&image));
        self.change(repository, |contents, number| {
            if is_there {
                contents.images.entry(image).or_insert(number);
                contents.restorable.remove(&image);
            } else {
                contents.images.remove(&image);
            }
            if is_settled {
                contents.loose.remove(&image);
                contents.doomed.remove(&image);
            }
        });
        is_right
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
        let state = self.0.lock().unwrap();
        let images = |contents: &Contents| contents.images.keys().copied().collect();
        state
            .0
            .iter()
            .map(|(path, contents)| (path.clone(), images(contents)))
            .collect()
    }
}
