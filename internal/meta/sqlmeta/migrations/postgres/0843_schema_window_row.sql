-- +goose Up
INSERT INTO schema_window (window_id, oldest_step, database_id) VALUES (1, 843, gen_random_uuid()::text);
