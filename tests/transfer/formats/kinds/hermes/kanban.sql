CREATE TABLE tasks (id TEXT PRIMARY KEY, title TEXT NOT NULL, body TEXT, assignee TEXT, status TEXT NOT NULL,
  priority INTEGER DEFAULT 0, created_at INTEGER NOT NULL, tenant TEXT, result TEXT, last_failure_error TEXT,
  block_kind TEXT, workspace_kind TEXT NOT NULL DEFAULT 'scratch');
CREATE TABLE task_links (parent_id TEXT NOT NULL, child_id TEXT NOT NULL, PRIMARY KEY (parent_id, child_id));
CREATE TABLE task_comments (id INTEGER PRIMARY KEY AUTOINCREMENT, task_id TEXT NOT NULL, author TEXT NOT NULL,
  body TEXT NOT NULL, created_at INTEGER NOT NULL);
INSERT INTO tasks (id, title, body, status, priority, created_at, tenant, result)
  VALUES ('t_1', 'Collect the dates', 'Of all fairs.', 'done', 5, 1, 'fairs', 'Found 12.');
INSERT INTO tasks (id, title, status, priority, created_at, assignee, last_failure_error)
  VALUES ('t_2', 'Write to the fairs', 'running', 0, 2, 'writer', 'The mailbox was full.');
INSERT INTO tasks (id, title, status, created_at, block_kind) VALUES ('t_3', 'Book a hall', 'blocked', 3, 'needs_input');
INSERT INTO tasks (id, title, status, created_at) VALUES ('t_4', 'Old idea', 'archived', 4);
INSERT INTO task_links VALUES ('t_1', 't_2'), ('t_404', 't_3');
INSERT INTO task_comments (task_id, author, body, created_at) VALUES ('t_2', 'ann', 'Ask in German.', 5);
