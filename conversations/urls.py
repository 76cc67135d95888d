"""Pages of this app: the inbox, its verbs, files of conversations, the live fallback."""

from django.urls import path

from conversations import (
    actions,
    actions_later,
    actions_presence,
    actions_routing,
    actions_sending,
    files,
    views,
)

urlpatterns = [
    path("inbox/", views.inbox, name="inbox"),
    path("inbox/rows/", views.rows, name="inbox-rows"),
    path("inbox/pull/", actions.pull, name="inbox-pull"),
    path("inbox/presence/", actions_presence.presence, name="inbox-presence"),
    path("inbox/leave/", actions_presence.leave, name="inbox-leave"),
    path("inbox/<uuid:pk>/", views.inbox, name="inbox-thread"),
    path("inbox/<uuid:pk>/earlier/", views.earlier, name="inbox-earlier"),
    path("inbox/<uuid:pk>/messages/<uuid:message_pk>/", views.message, name="inbox-message"),
    path("inbox/<uuid:pk>/messages/<uuid:message_pk>/retry/", actions.retry, name="inbox-retry"),
    path(
        "inbox/<uuid:pk>/messages/<uuid:message_pk>/check/", actions_sending.check_again, name="inbox-check"
    ),
    path(
        "inbox/<uuid:pk>/messages/<uuid:message_pk>/anyway/", actions_sending.send_anyway, name="inbox-anyway"
    ),
    path("inbox/<uuid:pk>/template/", actions_sending.template, name="inbox-template"),
    path("inbox/<uuid:pk>/foot/", actions_sending.foot, name="inbox-foot"),
    path("inbox/<uuid:pk>/later/", actions_later.plan, name="inbox-later"),
    path("inbox/<uuid:pk>/later/<uuid:later_pk>/", actions_later.move, name="inbox-later-move"),
    path("inbox/<uuid:pk>/later/<uuid:later_pk>/cancel/", actions_later.cancel, name="inbox-later-cancel"),
    path("inbox/<uuid:pk>/why/", views.why, name="inbox-why"),
    path("inbox/<uuid:pk>/reply/", actions.reply, name="inbox-reply"),
    path("inbox/<uuid:pk>/note/", actions.note, name="inbox-note"),
    path("inbox/<uuid:pk>/seen/", actions.seen, name="inbox-seen"),
    path("inbox/<uuid:pk>/typing/", actions.typing, name="inbox-typing"),
    path("inbox/<uuid:pk>/claim/", actions.claim, name="inbox-claim"),
    path("inbox/<uuid:pk>/accept/", actions_routing.accept, name="inbox-accept"),
    path("inbox/<uuid:pk>/decline/", actions_routing.decline, name="inbox-decline"),
    path("inbox/<uuid:pk>/hold/", actions_routing.hold, name="inbox-hold"),
    path("inbox/<uuid:pk>/resume/", actions_routing.resume, name="inbox-resume"),
    path("inbox/<uuid:pk>/snooze/", actions_routing.snooze, name="inbox-snooze"),
    path("inbox/<uuid:pk>/take-over/", actions.take_over, name="inbox-take-over"),
    path("inbox/<uuid:pk>/transfer/", actions.transfer, name="inbox-transfer"),
    path("inbox/<uuid:pk>/release/", actions.release, name="inbox-release"),
    path("inbox/<uuid:pk>/close/", actions.close, name="inbox-close"),
    path("inbox/<uuid:pk>/files/", files.upload, name="inbox-upload"),
    path("inbox/files/<uuid:pk>/", files.uploaded, name="inbox-uploaded"),
    path("media/<uuid:pk>/", files.media, name="media"),
    path("media/<uuid:pk>/thumbnail/", files.thumbnail, name="media-thumbnail"),
    path("live/sync", views.live_sync, name="live-sync"),
]
