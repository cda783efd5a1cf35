"""The admin's look: what it is called, and what its sidebar leads to."""

from __future__ import annotations

import re
from typing import Any

from django.templatetags.static import static
from django.urls import reverse_lazy

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Carryon",
    "SITE_HEADER": "Carryon",
    "SITE_SYMBOL": "swap_vert",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda _: static("transfers/favicon.svg")}],
    "DASHBOARD_CALLBACK": "config.dashboard.page.dashboard",
    "SIDEBAR": {
        "navigation": [
            {
                "title": "Service",
                "items": [
                    {"title": "Dashboard", "icon": "monitoring", "link": reverse_lazy("admin:index")},
                    {
                        "title": "Audit",
                        "icon": "history",
                        "link": reverse_lazy("admin:admin_logentry_changelist"),
                        "permission": lambda request: request.user.has_perm("admin.view_logentry"),
                    },
                ],
            },
            {
                "title": "Files",
                "items": [
                    {
                        "title": "Downloads",
                        "icon": "download",
                        "link": reverse_lazy("admin:transfers_download_changelist"),
                    },
                    {
                        "title": "Uploads",
                        "icon": "upload",
                        "link": reverse_lazy("admin:transfers_upload_changelist"),
                    },
                    {
                        "title": "Stored files",
                        "icon": "draft",
                        "link": reverse_lazy("admin:transfers_storedfile_changelist"),
                    },
                ],
            },
            {
                "title": "Orders",
                "items": [
                    {
                        "title": "Download lists",
                        "icon": "list_alt",
                        "link": reverse_lazy("admin:transfers_downloadlist_changelist"),
                    },
                    {
                        "title": "Orders",
                        "icon": "folder_zip",
                        "link": reverse_lazy("admin:transfers_order_changelist"),
                    },
                    {
                        "title": "Jobs",
                        "icon": "pending_actions",
                        "link": reverse_lazy("admin:transfers_listjob_changelist"),
                    },
                ],
            },
            {
                "title": "Case sync",
                "items": [
                    {
                        "title": "Cases",
                        "icon": "folder_shared",
                        "link": reverse_lazy("admin:sync_case_changelist"),
                    },
                    {
                        "title": "Syncs",
                        "icon": "sync",
                        "link": reverse_lazy("admin:sync_job_changelist"),
                    },
                ],
            },
            {
                "title": "Tasks on IPFS",
                "items": [
                    {
                        "title": "Needs attention",
                        "icon": "notification_important",
                        "link": reverse_lazy("admin:tasks_api_attention"),
                    },
                    {
                        "title": "Series",
                        "icon": "video_library",
                        "link": reverse_lazy("admin:tasks_api_series_changelist"),
                    },
                    {
                        "title": "Sources",
                        "icon": "movie",
                        "link": reverse_lazy("admin:tasks_api_source_changelist"),
                    },
                    {
                        "title": "Public uploads",
                        "icon": "cloud_upload",
                        "link": reverse_lazy("admin:tasks_api_publicupload_changelist"),
                    },
                    {
                        "title": "Private uploads",
                        "icon": "vpn_key",
                        "link": reverse_lazy("admin:tasks_api_privateupload_changelist"),
                    },
                    {
                        "title": "Download tasks",
                        "icon": "cloud_download",
                        "link": reverse_lazy("admin:tasks_api_downloadtask_changelist"),
                        "active": lambda request: bool(re.search(r"/downloadtask/(?!attention/)", request.path)),
                    },
                ],
            },
            {
                "title": "People",
                "items": [
                    {"title": "Users", "icon": "person", "link": reverse_lazy("admin:auth_user_changelist")},
                    {"title": "Groups", "icon": "group", "link": reverse_lazy("admin:auth_group_changelist")},
                    {"title": "API tokens", "icon": "key", "link": reverse_lazy("admin:knox_authtoken_changelist")},
                    {
                        "title": "Wrong passwords",
                        "icon": "lock_clock",
                        "link": reverse_lazy("admin:axes_accessattempt_changelist"),
                    },
                ],
            },
        ]
    },
}
