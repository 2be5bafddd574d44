//! Who belongs to an organisation: members with their roles and rooms, invitations, workspaces.
