-- +goose Up
CREATE INDEX vaults_due ON vaults (inventory_due_ms, vault_id) WHERE inventory_due_ms IS NOT NULL;
