"""What may be asked about people: logging in and out, one-time codes, users."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from msgspec import UNSET, UnsetType
from sqlalchemy import select

from cellwright.mes.kernel import paging
from cellwright.mes.kernel.actions import (
    Access,
    Action,
    Change,
    Closed,
    Command,
    Context,
    Detached,
    Nothing,
    Outside,
    Page,
    PageRequest,
    Request,
    Rest,
    View,
)
from cellwright.mes.kernel.money import DEFAULT_CURRENCY
from cellwright.mes.people import accounts, logins
from cellwright.mes.people.accounts import Who
from cellwright.mes.people.keys.signing_keys import LIFE_S
from cellwright.mes.people.roles import permissions
from cellwright.mes.people.tables import User

_SESSION: Final = Closed("OPC UA has sessions of its own, with the same users")
_MACHINE: Final = Closed("who sits at the machine is logged in by its operating system")
_DESK: Final = Closed("users are looked after at a desk")


class UserView(View, frozen=True, kw_only=True):
    """A user."""

    username: str
    printed_name: str
    """Full name, for documents and signatures."""
    email: str
    roles: list[str]
    permissions: list[str]
    active: bool
    mfa: bool
    """Logs in with a one-time code as well."""
    created_at: datetime
    version: int


class Login(Request, frozen=True, kw_only=True):
    """Who wants in."""

    username: str
    password: str
    otp: str = ""
    """One-time code, for who has enrolled."""
    tenant: str = ""
    """Absent: the default tenant."""


class LoginView(View, frozen=True, kw_only=True):
    """Tokens for an hour, and one to renew them."""

    access_token: str
    refresh_token: str
    """Works once; the answer to `/auth/refresh` holds the next one."""
    token_type: str
    """Bearer."""
    expires_in: int
    """Seconds."""
    user: UserView


class Refresh(Request, frozen=True, kw_only=True):
    """The token of the last login or refresh."""

    refresh_token: str


class Logout(Request, frozen=True, kw_only=True):
    """Ends the caller's login."""


class Enrol(Request, frozen=True, kw_only=True):
    """Asks for a one-time secret."""


class EnrolView(View, frozen=True, kw_only=True):
    """Shown once."""

    secret: str
    """Base 32."""
    otpauth_uri: str


class VerifyCode(Request, frozen=True, kw_only=True):
    """The first code of the authenticator."""

    code: str


class VerifiedView(View, frozen=True, kw_only=True):
    """Codes are asked for from now on."""

    mfa: bool


class CurrentUser(Request, frozen=True, kw_only=True):
    """Who am I?"""


class CreateUser(Change, frozen=True, kw_only=True):
    """A new user."""

    username: str
    password: str
    roles: list[str]
    """Names of roles, such as ``Operator`` or ``Quality Inspector``."""
    printed_name: str = ""
    """Full name; absent: the user name."""
    email: str = ""
    labour_rate: Decimal = Decimal(0)
    """Money for an hour."""
    currency: str = DEFAULT_CURRENCY


class GetUser(Request, frozen=True, kw_only=True):
    """Which user."""

    username: str


class ListUsers(PageRequest, frozen=True, kw_only=True):
    """Users, oldest first."""


class UpdateUser(Change, frozen=True, kw_only=True):
    """What is to be changed; absent fields stay as they are."""

    username: str
    roles: list[str] | UnsetType = UNSET
    printed_name: str | UnsetType = UNSET
    email: str | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    """False: no login any more."""
    labour_rate: Decimal | UnsetType = UNSET
    password: str | UnsetType = UNSET
    """A new one; every login of the user ends."""


def user_view(user: User) -> UserView:
    """The user as readers see it."""
    return UserView(
        username=user.username,
        printed_name=user.printed_name,
        email=user.email,
        roles=list(user.roles),
        permissions=sorted(permissions(user.roles)),
        active=user.active,
        mfa=user.totp_active,
        created_at=user.created_utc,
        version=user.version,
    )


def _login_view(tokens: logins.Tokens) -> LoginView:
    return LoginView(
        access_token=tokens.access,
        refresh_token=tokens.refresh,
        token_type="Bearer",
        expires_in=LIFE_S,
        user=user_view(tokens.user),
    )


def _login(outside: Outside, request: Login) -> LoginView:
    return _login_view(
        logins.log_in(outside, request.username, request.password, request.otp, request.tenant)
    )


def _refresh(outside: Outside, request: Refresh) -> LoginView:
    return _login_view(logins.renew(outside, request.refresh_token))


def _logout(context: Context, _request: Logout) -> Nothing:
    logins.log_out(context)
    return Nothing()


def _enrol(context: Context, _request: Enrol) -> EnrolView:
    secret, uri = logins.enrol(context)
    return EnrolView(secret=secret, otpauth_uri=uri)


def _verify(context: Context, request: VerifyCode) -> VerifiedView:
    logins.verify_code(context, request.code)
    return VerifiedView(mfa=True)


def _current(context: Context, _request: CurrentUser) -> UserView:
    return user_view(accounts.find(context.session, context.actor))


def _who(context: Context) -> Who:
    return Who(context.actor, context.reason, context.at)


def _create(context: Context, request: CreateUser) -> UserView:
    accounts.check_name(request.username)
    user = accounts.create(
        context.session,
        _who(context),
        username=request.username,
        password_hash=logins.hasher().hash(request.password, request.username),
        given=request.roles,
        printed_name=request.printed_name,
        email=request.email,
        labour_rate=request.labour_rate,
        currency=request.currency,
    )
    return user_view(user)


def _get(context: Context, request: GetUser) -> UserView:
    return user_view(accounts.find(context.session, request.username))


def _list(context: Context, request: ListUsers) -> Page[UserView]:
    rows, total = paging.page_of(context.session, select(User).order_by(User.id), request)
    return Page(items=[user_view(row) for row in rows], total=total)


def _update(context: Context, request: UpdateUser) -> UserView:
    user = accounts.find(context.session, request.username, lock=True)
    context.check_version(f"user {user.username}", user.version)
    wanted = {
        name: value
        for name in ("roles", "printed_name", "email", "active", "labour_rate")
        if (value := getattr(request, name)) is not UNSET
    }
    accounts.change(context.session, _who(context), user, wanted)
    if request.password is not UNSET:
        new = logins.hasher().hash(request.password, user.username)
        accounts.set_password(context.session, _who(context), user, new)
    context.session.flush()
    return user_view(user)


def _name(request: Any) -> str:
    return str(request.username)


ACTIONS: Final[tuple[Action[Any, Any], ...]] = (
    Action(
        name="auth.login",
        summary="Log in with user name and password.",
        request=Login,
        answer=LoginView,
        permission=Access.PUBLIC,
        entity="user",
        run=Detached(_login),
        rest=Rest("POST", "/auth/login"),
        opcua=_SESSION,
        command=_MACHINE,
        entity_id=_name,
    ),
    Action(
        name="auth.refresh",
        summary="Get new tokens for a refresh token, which is used up.",
        request=Refresh,
        answer=LoginView,
        permission=Access.PUBLIC,
        entity="user",
        run=Detached(_refresh),
        rest=Rest("POST", "/auth/refresh"),
        opcua=_SESSION,
        command=_MACHINE,
    ),
    Action(
        name="auth.logout",
        summary="End the login: neither of its tokens is good any more.",
        request=Logout,
        answer=Nothing,
        permission=Access.SIGNED_IN,
        entity="user",
        run=_logout,
        rest=Rest("POST", "/auth/logout", 204),
        opcua=_SESSION,
        command=_MACHINE,
    ),
    Action(
        name="auth.mfaEnroll",
        summary="Get a secret for one-time codes; it counts once a code was verified.",
        request=Enrol,
        answer=EnrolView,
        permission=Access.SIGNED_IN,
        entity="user",
        run=_enrol,
        secret=True,
        rest=Rest("POST", "/auth/mfa/enroll"),
        opcua=_SESSION,
        command=_MACHINE,
    ),
    Action(
        name="auth.mfaVerify",
        summary="Turn one-time codes on with the first one.",
        request=VerifyCode,
        answer=VerifiedView,
        permission=Access.SIGNED_IN,
        entity="user",
        run=_verify,
        rest=Rest("POST", "/auth/mfa/verify"),
        opcua=_SESSION,
        command=_MACHINE,
    ),
    Action(
        name="auth.user",
        summary="Read who is logged in, and what he may do.",
        request=CurrentUser,
        answer=UserView,
        permission=Access.SIGNED_IN,
        entity="user",
        run=_current,
        reads=True,
        rest=Rest("GET", "/auth/user"),
        opcua=_SESSION,
        command=_MACHINE,
    ),
    Action(
        name="users.create",
        summary="Add a user.",
        request=CreateUser,
        answer=UserView,
        permission=Access.ADMINISTRATOR,
        entity="user",
        run=_create,
        rest=Rest("POST", "/api/v1/users", 201),
        opcua=_DESK,
        command=Command("user", "add", ("username",)),
        entity_id=_name,
    ),
    Action(
        name="users.list",
        summary="List the users.",
        request=ListUsers,
        answer=Page[UserView],
        permission=Access.ADMINISTRATOR,
        entity="user",
        run=_list,
        reads=True,
        rest=Rest("GET", "/api/v1/users"),
        opcua=_DESK,
        command=Command("user", "list"),
    ),
    Action(
        name="users.get",
        summary="Read a user.",
        request=GetUser,
        answer=UserView,
        permission=Access.ADMINISTRATOR,
        entity="user",
        run=_get,
        reads=True,
        rest=Rest("GET", "/api/v1/users/{username}"),
        opcua=_DESK,
        command=Command("user", "show", ("username",)),
        entity_id=_name,
    ),
    Action(
        name="users.update",
        summary="Change a user: roles, name, rate, password, or whether he may log in.",
        request=UpdateUser,
        answer=UserView,
        permission=Access.ADMINISTRATOR,
        entity="user",
        run=_update,
        rest=Rest("PUT", "/api/v1/users/{username}"),
        opcua=_DESK,
        command=Command("user", "change", ("username",)),
        entity_id=_name,
    ),
)
"""What REST, OPC UA and the command line offer of this room."""
