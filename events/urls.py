from django.urls import path

from . import views

urlpatterns = [
    path("events/", views.EventFeedView.as_view(), name="event-feed"),
    path("events/stream/", views.EventStreamView.as_view(), name="event-stream"),
    path("audit/", views.AuditListView.as_view(), name="audit-list"),
    path("audit/export/", views.AuditExportView.as_view(), name="audit-export"),
]
