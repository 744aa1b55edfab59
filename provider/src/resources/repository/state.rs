// SPDX-License-Identifier: Apache-2.0
//! A repository as Terraform has it and as the API has it.

use hythe_model::{EncryptionType, TagMutabilityMode};
use hythe_wire::{CreateRepository, EncryptionConfiguration, ImageScanningConfiguration, UpdateRepository};
use tfplugin::{Attr, Result};

use super::{Encryption, Repository};
use crate::argument::parsed;
use crate::resources::tag_mutability::{filters_of, observed_filters};
use crate::tags::{Tags, to_wire};

impl Repository {
    /// This repository with what the server says, but for its tags.
    pub(super) fn observed(mut self, server: hythe_wire::Repository) -> Self {
        let hythe_wire::Repository {
            repository_arn,
            registry_id,
            repository_name,
            repository_uri,
            created_at,
            image_tag_mutability,
            image_tag_mutability_exclusion_filters,
            image_scanning_configuration,
            allow_sparse_indexes,
            encryption_configuration,
            tags: _,
        } = server;
        self.name = String::from(repository_name).into();
        self.image_tag_mutability = image_tag_mutability.as_str().into();
        self.image_tag_mutability_exclusion_filter = observed_filters(
            &self.image_tag_mutability_exclusion_filter,
            image_tag_mutability_exclusion_filters,
        );
        self.encryption = Attr::Known(encryption_configuration.into());
        self.scan_on_push = image_scanning_configuration.scan_on_push.into();
        self.allow_sparse_indexes = allow_sparse_indexes.into();
        self.arn = repository_arn.into();
        self.registry_id = String::from(registry_id).into();
        self.repository_url = repository_uri.into();
        self.created_at = created_at.to_string().into();
        self
    }

    /// The request that creates this repository.
    pub(super) fn to_create(&self, tags: Option<&Tags>) -> Result<CreateRepository> {
        let encryption = self.encryption.known().map(Encryption::to_wire).transpose()?;
        Ok(CreateRepository {
            repository_name: parsed("name", &self.name)?,
            image_tag_mutability: Some(self.mode()?),
            image_tag_mutability_exclusion_filters: filters_of(&self.image_tag_mutability_exclusion_filter)?,
            image_scanning_configuration: Some(self.scanning()),
            // Left out where it is the default, so that servers that do not know it yet take the request.
            allow_sparse_indexes: self.allow_sparse_indexes.known().copied().filter(|allowed| *allowed),
            encryption_configuration: encryption,
            tags: tags.filter(|tags| !tags.is_empty()).map(to_wire),
        })
    }

    /// The settings in which this repository differs from `prior`.
    pub(super) fn settings_since(&self, prior: &Self) -> Result<UpdateRepository> {
        let mut request = UpdateRepository::default();
        // Prior filters may be written as another set of the same elements; the server takes mode and filters together.
        let filters = filters_of(&self.image_tag_mutability_exclusion_filter)?;
        let before = filters_of(&prior.image_tag_mutability_exclusion_filter)?;
        if self.image_tag_mutability != prior.image_tag_mutability || filters != before {
            request.image_tag_mutability = Some(self.mode()?);
            request.image_tag_mutability_exclusion_filters = filters;
        }
        if self.scan_on_push != prior.scan_on_push {
            request.image_scanning_configuration = Some(self.scanning());
        }
        if self.allow_sparse_indexes != prior.allow_sparse_indexes {
            request.allow_sparse_indexes = Some(self.allow_sparse_indexes.unwrap_or_default());
        }
        Ok(request)
    }

    fn mode(&self) -> Result<TagMutabilityMode> {
        parsed("image_tag_mutability", &self.image_tag_mutability)
    }

    fn scanning(&self) -> ImageScanningConfiguration {
        ImageScanningConfiguration {
            scan_on_push: self.scan_on_push.unwrap_or_default(),
        }
    }
}

impl Encryption {
    pub(crate) fn to_wire(&self) -> Result<EncryptionConfiguration> {
        let encryption_type: EncryptionType = parsed("encryption", &self.kind)?;
        Ok(EncryptionConfiguration {
            encryption_type,
            kms_key: self.key.known().cloned(),
        })
    }
}

impl From<EncryptionConfiguration> for Encryption {
    fn from(server: EncryptionConfiguration) -> Self {
        Self {
            kind: server.encryption_type.as_str().into(),
            key: server.kms_key.into(),
        }
    }
}
