from django.urls import path

from . import views

urlpatterns = [
    path("volumes/", views.VolumeList.as_view(), name="volume-list"),
    path("volumes/<uuid:pk>/", views.VolumeDetail.as_view(), name="volume-detail"),
]
