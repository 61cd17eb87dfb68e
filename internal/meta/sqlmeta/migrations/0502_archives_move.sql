-- +goose Up
INSERT INTO archives_clustered (vault_id, created_ms, archive_id, body_id, size, deleted_ms, tree_hash, description)
SELECT vault_id, created_ms, archive_id, body_id, size, deleted_ms, tree_hash, description FROM archives
ORDER BY vault_id, created_ms, archive_id;
