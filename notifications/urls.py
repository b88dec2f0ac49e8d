from django.urls import path

from . import views

urlpatterns = [
    path("webhooks/", views.WebhookListView.as_view(), name="webhook-list"),
    path("webhooks/<uuid:pk>/", views.WebhookDetailView.as_view(), name="webhook-detail"),
    path("webhooks/<uuid:pk>/secret/", views.WebhookSecretView.as_view(), name="webhook-secret"),
    path("webhooks/<uuid:pk>/test/", views.WebhookTestView.as_view(), name="webhook-test"),
    path("webhooks/<uuid:pk>/deliveries/", views.DeliveryListView.as_view(), name="webhook-deliveries"),
    path("webhooks/<uuid:pk>/redeliver/", views.SendAgainView.as_view(), name="webhook-redeliver"),
    path("subscriptions/", views.SubscriptionListView.as_view(), name="subscription-list"),
    path("subscriptions/<uuid:pk>/", views.SubscriptionDetailView.as_view(), name="subscription-detail"),
    path("subscriptions/<uuid:pk>/test/", views.SubscriptionTestView.as_view(), name="subscription-test"),
]
