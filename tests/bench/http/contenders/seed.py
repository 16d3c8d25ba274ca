"""FastAPI, SQLAlchemy and asyncpg, as their documentation shows them: a session per request by dependency."""

import os
import sys
import threading
import uuid

import uvicorn
from fastapi import Depends, FastAPI
from pydantic import BaseModel
from sqlalchemy import Column, DateTime, Integer, Text, func, select, update
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import declarative_base, sessionmaker

engine = create_async_engine(
    os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://"),
    pool_size=int(os.environ["DATABASE_POOL_SIZE"]),
    max_overflow=0,
)
new_session = sessionmaker(engine, expire_on_commit=False, class_=AsyncSession)
Base = declarative_base()


class User(Base):
    __tablename__ = "users"
    __mapper_args__ = {"eager_defaults": True}
    id = Column(UUID(as_uuid=True), primary_key=True)
    email = Column(Text, nullable=False)
    name = Column(Text, nullable=False)
    version = Column(Integer, nullable=False, server_default="1")
    created_at = Column(DateTime(timezone=True), server_default=func.now())
    updated_at = Column(DateTime(timezone=True), server_default=func.now())


class NewUser(BaseModel):
    email: str
    name: str


def document(user):
    return {
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "version": user.version,
        "createdAt": user.created_at,
        "updatedAt": user.updated_at,
    }


async def session():
    async with new_session() as session:
        yield session


app = FastAPI()


@app.get("/users/{id}")
async def read(id: uuid.UUID, session: AsyncSession = Depends(session)):
    return document((await session.execute(select(User).where(User.id == id))).scalar_one())


@app.get("/users")
async def page(limit: int, session: AsyncSession = Depends(session)):
    users = (await session.execute(select(User).order_by(User.id).limit(limit))).scalars()
    return {"users": [document(user) for user in users]}


@app.post("/users", status_code=201)
async def create(body: NewUser, session: AsyncSession = Depends(session)):
    user = User(id=uuid.uuid4(), email=body.email, name=body.name)
    session.add(user)
    await session.commit()
    return document(user)


@app.post("/three", status_code=201)
async def three(body: NewUser, session: AsyncSession = Depends(session)):
    user = User(id=uuid.uuid4(), email=body.email, name=body.name)
    session.add(user)
    await session.flush()
    found = (
        await session.execute(select(User.id, User.version).where(User.id == user.id))
    ).one()
    await session.execute(
        update(User)
        .where(User.id == found.id, User.version == found.version)
        .values(name="Bob")
        .execution_options(synchronize_session=False)
    )
    await session.commit()
    return document(user)


def end_with_input():
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    threading.Thread(target=end_with_input, daemon=True).start()

    @app.on_event("startup")
    async def tell_port():
        import asyncio

        async def tell():
            while not server.started:
                await asyncio.sleep(0.05)
            print(server.servers[0].sockets[0].getsockname()[1], flush=True)

        asyncio.get_running_loop().create_task(tell())

    server.run()
