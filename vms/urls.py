from django.urls import path

from . import views

urlpatterns = [
    path("vms/", views.VmList.as_view(), name="vm-list"),
    path("vms/actions/", views.VmBulkActions.as_view(), name="vm-bulk-actions"),
    path("vms/<uuid:pk>/", views.VmDetail.as_view(), name="vm-detail"),
    path("vms/<uuid:pk>/actions/", views.VmActions.as_view(), name="vm-actions"),
    path("vms/<uuid:pk>/operations/", views.VmOperations.as_view(), name="vm-operations"),
]
