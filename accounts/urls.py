"""Pages of this app: the way in, the way out, and what a person prefers."""

from django.urls import path

from accounts import views

urlpatterns = [
    path("", views.home, name="home"),
    path("login/", views.log_in, name="login"),
    path("logout/", views.log_out, name="logout"),
    path("preferences/", views.preferences, name="preferences"),
]
