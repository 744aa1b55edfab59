// SPDX-License-Identifier: Apache-2.0
//! A repository as Terraform has it and as the API has it.

use hythe_model::{EncryptionType, ExclusionFilter, TagMutabilityMode};
use hythe_wire::{
    CreateRepository, EncryptionConfiguration, ImageScanningConfiguration, ImageTagMutabilityExclusionFilter,
    UpdateRepository,
};
use tfplugin::{Attr, Path, Result, Set};

use super::{Encryption, ExclusionFilterModel, Repository};
use crate::argument::{invalid, parsed};
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
        // The server does not tell an empty set from none.
        let was_written = self.image_tag_mutability_exclusion_filter.known().is_some();
        self.image_tag_mutability_exclusion_filter =
            if image_tag_mutability_exclusion_filters.is_empty() && !was_written {
                Attr::Null
            } else {
                Attr::Known(filters_from(image_tag_mutability_exclusion_filters))
            };
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
            image_tag_mutability_exclusion_filters: self.filters()?,
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
        let (filters, before) = (self.filters()?, prior.filters()?);
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

    /// The filters, sorted; `None` if there is none.
    fn filters(&self) -> Result<Option<Vec<ImageTagMutabilityExclusionFilter>>> {
        let place = || Path::new("image_tag_mutability_exclusion_filter");
        let Some(filters) = self.image_tag_mutability_exclusion_filter.known() else {
            return Ok(None);
        };
        let mut parsed = Vec::new();
        for filter in filters {
            let text = filter.filter.required("filter")?;
            let filter: ExclusionFilter = text
                .parse()
                .map_err(|error: hythe_model::ParseError| invalid(place(), error.to_string()))?;
            parsed.push(filter.into());
        }
        parsed.sort();
        Ok((!parsed.is_empty()).then_some(parsed))
    }
}

impl Encryption {
    fn to_wire(&self) -> Result<EncryptionConfiguration> {
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

/// The filters as a set of objects.
fn filters_from(filters: Vec<ImageTagMutabilityExclusionFilter>) -> Set<ExclusionFilterModel> {
    let object = |filter: ImageTagMutabilityExclusionFilter| ExclusionFilterModel {
        filter: String::from(filter.filter).into(),
        filter_type: super::WILDCARD.into(),
    };
    filters.into_iter().map(object).collect()
}
