-- SPDX-License-Identifier: Apache-2.0
-- When single statements of the policy of a registry were set, in milliseconds by their Sids. What is not here is as old as
-- the document: whoever sets one statement says nothing about whom the others mean.
ALTER TABLE registry_policy ADD COLUMN statement_times TEXT {collate} NOT NULL DEFAULT '{}';
