//! Packages and manual pages.
