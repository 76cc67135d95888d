"""Pages of this app: the queue board with its verbs, and the live wall."""

from django.urls import path

from insights import actions, views

urlpatterns = [
    path("wall/", views.wall, name="wall"),
    path("queues/", views.board, name="board"),
    path("queues/pull/", actions.pull, name="board-pull"),
    path("queues/cards/<uuid:pk>/", actions.menu, name="board-menu"),
    path("queues/cards/<uuid:pk>/take/", actions.take, name="board-take"),
    path("queues/cards/<uuid:pk>/move/", actions.move, name="board-move"),
    path("queues/cards/<uuid:pk>/priority/", actions.prioritise, name="board-priority"),
    path("queues/cards/<uuid:pk>/assign/", actions.assign, name="board-assign"),
    path("queues/cards/<uuid:pk>/close/", actions.close, name="board-close"),
]
